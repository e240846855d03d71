"""The same small inventory service in three frameworks.

.. code-block:: shell

    python -m apostille_examples.fastapi_inventory --issuer http://127.0.0.1:8000 --port 8001
    python -m apostille_examples.drf_inventory --issuer http://127.0.0.1:8000 --port 8002
    python -m apostille_examples.flask_inventory --issuer http://127.0.0.1:8000 --port 8003

``GET /stock`` asks for ``inventory.read``, ``PUT /stock/{item}`` for
``inventory.write``, ``GET /health`` for nothing. What they need of the issuer
is its address; what the issuer needs of them is ``permissions.toml``.
"""
