// What both Node.js clients share: the cases handed over by the test, and how a check is reported.
// A case file is JSON: { issuer, client_id, client_secret, guard: { client_id, client_secret },
// apis: [{ identifier, algorithm, scope }] }. Each passed check is one line `ok NAME`; any failure ends the process.

import { readFile } from 'node:fs/promises';
import assert from 'node:assert/strict';

export const cases = JSON.parse(await readFile(process.argv[2], 'utf8'));

export async function check(name, run) {
  try {
    await run();
  } catch (error) {
    console.error(`not ok ${name}`);
    throw error;
  }
  console.log(`ok ${name}`);
}

export function assertClaims(claims, api) {
  assert.equal(claims.iss, cases.issuer);
  assert.deepEqual([claims.aud].flat(), [api.identifier]);
  assert.equal(claims.client_id, cases.client_id);
  assert.equal(claims.sub, cases.client_id);
  assert.equal(claims.scope, api.scope);
}
