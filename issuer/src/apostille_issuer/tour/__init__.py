"""``apostille-issuer tour``: the whole path, on real processes and real HTTP.

A throw-away issuer and the three example services are started on free ports;
then a clerk and an administrator walk from login to revocation. Every step
says what it expects and what came; the exit status is 0 only if all agree.

- :mod:`.run` is the command.
- :mod:`.processes` starts, awaits and ends the processes.
- :mod:`.journey` is the path itself.
- :mod:`.transcript` prints the steps.
"""
