#!/usr/bin/env bash
# Builds the module that `writ dev --demo` binds, and puts it beside its source. A test of writ-policy-test compares how
# the two behave.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=lifetime_cap_by_scope
target=${CARGO_TARGET_DIR:-target}
cargo build --package $name --profile policy --target wasm32-unknown-unknown
install -m 644 "$target/wasm32-unknown-unknown/policy/$name.wasm" policies/$name/$name.wasm
wc -c policies/$name/$name.wasm
