#!/usr/bin/env bash
# Installs the Debian packages that the cluster's tests need. Does nothing if all are installed, or without
# root.
exec "$(dirname "${BASH_SOURCE[0]}")/../hosts/setup.sh" buildah=buildah
