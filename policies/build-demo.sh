#!/usr/bin/env bash
# Builds the module that `writ dev --demo` binds, and puts it beside its source. A test of writ-policy-test compares how
# the two behave.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=lifetime_cap_by_scope
# An incremental build has more units of code: it inlines less, and a verdict takes a tenth longer.
export CARGO_INCREMENTAL=0
target=${CARGO_TARGET_DIR:-target}
cargo build --package $name --profile policy --target wasm32-unknown-unknown
install -m 644 "$target/wasm32-unknown-unknown/policy/$name.wasm" policies/$name/$name.wasm
wc -c policies/$name/$name.wasm
