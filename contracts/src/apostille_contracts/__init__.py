"""What Apostille's issuer and its verifiers agree on.

Nothing here does I/O, keeps state or knows a framework; msgspec is the only
dependency. Modules:

- :mod:`apostille_contracts.claims`: the access token, contract v1.
- :mod:`apostille_contracts.permissions`: grammar, matching and algebra of permissions.
- :mod:`apostille_contracts.problems`: stable error codes and the problem document.
- :mod:`apostille_contracts.events`: stable tags of security events.
- :mod:`apostille_contracts.key_sets`: what names a whole key set, in status lists.
- :mod:`apostille_contracts.manifest`: what a service declares about its permissions.
- :mod:`apostille_contracts.vectors`: the form of the golden vectors.
- :mod:`apostille_contracts.schemas`: JSON Schemas of all of these.
"""
