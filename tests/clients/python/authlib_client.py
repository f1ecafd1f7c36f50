"""Authlib: tokens by OAuth2Session, validation by the RFC 9068 validator, introspection and revocation."""

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from cases import CASES, assert_claims, check

METADATA = requests.get(f"{CASES['issuer']}/.well-known/oauth-authorization-server", timeout=30).json()

# Authlib decodes with joserfc's recommended algorithms, which leave out PS256 and EdDSA.
VALIDATED = {"ES256", "RS256"}


class Validator(JWTBearerTokenValidator):
    """An API that fetches the JWKS."""

    def get_jwks(self):
        return requests.get(METADATA["jwks_uri"], timeout=30).json()


def session(party, method):
    """A session of `party` that presents its secret by `method`."""
    made = OAuth2Session(party["client_id"], party["client_secret"], token_endpoint_auth_method=method,
                         revocation_endpoint_auth_method=method)
    return made


def introspect(token):
    """What the guard hears about the token."""
    guard = session(CASES["guard"], "client_secret_basic")
    return guard.introspect_token(METADATA["introspection_endpoint"], token=token).json()


def refused(error, run):
    """`run` fails with `error`."""
    try:
        run()
    except error:
        return
    raise AssertionError(f"{error.__name__} expected")


for api in CASES["apis"]:
    for method in ("client_secret_basic", "client_secret_post"):
        with check(f"{api['algorithm']} {method}"):
            client = session(CASES, method)
            token = client.fetch_token(METADATA["token_endpoint"], grant_type="client_credentials",
                                       scope=api["scope"], resource=api["identifier"])
            assert token["token_type"] == "Bearer" and token["scope"] == api["scope"], token.keys()

    if api["algorithm"] in VALIDATED:
        with check(f"{api['algorithm']} JWTBearerTokenValidator"):
            validator = Validator(CASES["issuer"], api["identifier"])
            claims = validator.authenticate_token(token["access_token"])
            validator.validate_token(claims, [api["scope"]], None)
            assert_claims(claims, api)
            refused(InsufficientScopeError, lambda: validator.validate_token(claims, ["no:such"], None))
            other = Validator(CASES["issuer"], "https://other.example/")
            refused(InvalidTokenError,
                    lambda: other.validate_token(other.authenticate_token(token["access_token"]), [], None))

    with check(f"{api['algorithm']} introspection and revocation"):
        before = introspect(token["access_token"])
        assert before["active"] is True, before
        assert_claims(before, api)
        client.revoke_token(METADATA["revocation_endpoint"], token=token["access_token"]).raise_for_status()
        assert introspect(token["access_token"])["active"] is False
