// openid-client: discovery by both documents, tokens, introspection, revocation, errors.

import * as client from 'openid-client';
import assert from 'node:assert/strict';
import { assertClaims, cases, check } from './cases.mjs';

const issuer = new URL(cases.issuer);

async function configure(party, auth, algorithm = 'oauth2') {
  return client.discovery(issuer, party.client_id, undefined, auth(party.client_secret), { algorithm });
}

for (const [name, auth] of [['basic', client.ClientSecretBasic], ['post', client.ClientSecretPost]]) {
  for (const algorithm of ['oauth2', 'oidc']) {
    await check(`discovery ${algorithm}, client_secret_${name}`, async () => {
      const config = await configure(cases, auth, algorithm);
      const methods = config.serverMetadata().token_endpoint_auth_methods_supported;
      assert.ok(methods.includes(`client_secret_${name}`));
      const [api] = cases.apis;
      const answer = await client.clientCredentialsGrant(config, { scope: api.scope });
      assert.equal(answer.token_type, 'bearer');
      assert.equal(answer.scope, api.scope);
    });
  }
}

const config = await configure(cases, client.ClientSecretBasic);
const guard = await configure(cases.guard, client.ClientSecretPost);

for (const api of cases.apis) {
  await check(`${api.algorithm} introspection and revocation`, async () => {
    const answer = await client.clientCredentialsGrant(config, { scope: api.scope, resource: api.identifier });
    const before = await client.tokenIntrospection(guard, answer.access_token);
    assert.equal(before.active, true);
    assertClaims(before, api);
    await client.tokenRevocation(config, answer.access_token);
    assert.equal((await client.tokenIntrospection(guard, answer.access_token)).active, false);
  });
}

await check('an unknown scope is invalid_scope', async () => {
  await assert.rejects(client.clientCredentialsGrant(config, { scope: 'no:such' }), (error) => {
    assert.equal(error.error, 'invalid_scope');
    return error.status === 400;
  });
});
