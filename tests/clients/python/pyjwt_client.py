"""PyJWT as a resource server, with the keys that PyJWKClient fetches; the token comes by a plain requests.post."""

import ssl

import jwt
import requests
from cases import CASES, assert_claims, check

METADATA = requests.get(f"{CASES['issuer']}/.well-known/openid-configuration", timeout=30).json()
KEYS = jwt.PyJWKClient(METADATA["jwks_uri"], ssl_context=ssl.create_default_context(cafile=CASES["ca"]))
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope"]


def decode(token, api, audience):
    """The claims, if everything about the token is as this API expects."""
    key = KEYS.get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=[api["algorithm"]], audience=audience, issuer=CASES["issuer"],
                      options={"require": REQUIRED})


for api in CASES["apis"]:
    with check(f"{api['algorithm']} PyJWKClient"):
        answer = requests.post(
            METADATA["token_endpoint"],
            auth=(CASES["client_id"], CASES["client_secret"]),
            data={"grant_type": "client_credentials", "scope": api["scope"], "resource": api["identifier"]},
            timeout=30,
        )
        answer.raise_for_status()
        assert "no-store" in answer.headers["Cache-Control"], answer.headers
        token = answer.json()["access_token"]
        assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
        assert_claims(decode(token, api, api["identifier"]), api)
        try:
            decode(token, api, "https://other.example/")
        except jwt.InvalidAudienceError:
            pass
        else:
            raise AssertionError("a wrong audience was accepted")
