"""Django's PostgreSQL backend over a wall: ``"ENGINE": "tracewall.django"``.

    DATABASES = {
        "default": {
            "ENGINE": "tracewall.django",
            "NAME": "shop",
            "OPTIONS": {"wall": wall},
        }
    }

``NAME`` is the policy's database. ``wall`` may be left out where ``TRACEWALL_CONFIG`` names
a policy; a ``token`` beside it makes all connections act under that one.
"""
