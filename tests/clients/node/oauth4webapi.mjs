// oauth4webapi, the strictest client at hand: discovery, both ways to present a secret, RFC 9068 validation as a
// resource server, introspection as a guard, revocation.

import * as oauth from 'oauth4webapi';
import assert from 'node:assert/strict';
import { assertClaims, cases, check } from './cases.mjs';

const issuer = new URL(cases.issuer);
const client = { client_id: cases.client_id };
const guard = { client_id: cases.guard.client_id };
const guardAuth = oauth.ClientSecretBasic(cases.guard.client_secret);

let as;
for (const algorithm of ['oauth2', 'oidc']) {
  await check(`discovery ${algorithm}`, async () => {
    const response = await oauth.discoveryRequest(issuer, { algorithm });
    as = await oauth.processDiscoveryResponse(issuer, response);
    for (const endpoint of ['token_endpoint', 'jwks_uri', 'introspection_endpoint', 'revocation_endpoint']) {
      assert.equal(new URL(as[endpoint]).origin, issuer.origin, endpoint);
    }
  });
}

async function token(auth, api) {
  const parameters = new URLSearchParams({ scope: api.scope, resource: api.identifier });
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, parameters);
  const answer = await oauth.processClientCredentialsResponse(as, client, response);
  assert.equal(answer.token_type, 'bearer');
  assert.equal(answer.scope, api.scope);
  assert.ok(answer.expires_in > 0);
  return answer.access_token;
}

function validate(accessToken, audience) {
  const request = new Request(audience, { headers: { authorization: `Bearer ${accessToken}` } });
  return oauth.validateJwtAccessToken(as, request, audience);
}

async function introspect(accessToken) {
  const response = await oauth.introspectionRequest(as, guard, guardAuth, accessToken);
  return oauth.processIntrospectionResponse(as, guard, response);
}

for (const api of cases.apis) {
  for (const [name, method] of [['basic', oauth.ClientSecretBasic], ['post', oauth.ClientSecretPost]]) {
    await check(`${api.algorithm} client_secret_${name}, validateJwtAccessToken`, async () => {
      const accessToken = await token(method(cases.client_secret), api);
      assertClaims(await validate(accessToken, api.identifier), api);
      await assert.rejects(validate(accessToken, 'https://other.example/'), /"aud"/);
    });
  }

  await check(`${api.algorithm} introspection and revocation`, async () => {
    const auth = oauth.ClientSecretBasic(cases.client_secret);
    const accessToken = await token(auth, api);
    const before = await introspect(accessToken);
    assert.equal(before.active, true);
    assertClaims(before, api);
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, accessToken));
    assert.equal((await introspect(accessToken)).active, false);
  });
}

await check('a wrong secret is invalid_client', async () => {
  const wrong = oauth.ClientSecretBasic('wrong');
  await assert.rejects(token(wrong, cases.apis[0]), (error) => {
    // With a WWW-Authenticate challenge the library reports the challenge, else the error of the body.
    const said = error instanceof oauth.WWWAuthenticateChallengeError ? error.cause[0].scheme : error.error;
    assert.match(said, /^(basic|invalid_client)$/);
    return error.status === 401;
  });
});
