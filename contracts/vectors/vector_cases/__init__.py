"""The golden vectors, as Python that makes them; see ``make_vectors.py`` beside this folder."""
