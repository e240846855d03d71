"""What Apostille costs, beside its peers and the limits of the machine.

``python -m bench [section …]`` with ``PYTHONPATH=tests``; ``nox -s bench`` does
the same. Every figure is compared with something measured in the same rounds
on the same machine, and every table says how far two measurements of one and
the same thing came apart.
"""
