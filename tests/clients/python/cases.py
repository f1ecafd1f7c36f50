"""What both Python clients share: the cases handed over by the test, and how a check is reported.

A case file is JSON: {issuer, ca (path to PEM), client_id, client_secret, guard: {client_id, client_secret},
apis: [{identifier, algorithm, scope}]}. REQUESTS_CA_BUNDLE names the same PEM file. Each passed check is one line
`ok NAME`; any failure ends the process.
"""

import json
import sys
from contextlib import contextmanager

with open(sys.argv[1], encoding="utf-8") as file:
    CASES = json.load(file)


@contextmanager
def check(name):
    """Reports the block as one check."""
    try:
        yield
    except BaseException:
        print(f"not ok {name}", file=sys.stderr)
        raise
    print(f"ok {name}")


def assert_claims(claims, api):
    """The claims are this application's for this API resource."""
    aud = claims["aud"]
    assert claims["iss"] == CASES["issuer"], claims
    assert ([aud] if isinstance(aud, str) else aud) == [api["identifier"]], claims
    assert claims["sub"] == claims["client_id"] == CASES["client_id"], claims
    assert claims["scope"] == api["scope"], claims
