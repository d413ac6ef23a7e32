import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stubs } from '../lab/nodes/filesystem.ts';
import { run } from './shell.ts';

/** Where a host keeps what the lab's programs know of it. */
export const hostPaths = {
  node: '/var/lib/lab-node',
  cluster: '/var/lib/lab-cluster',
  programs: '/usr/lib/lab-node',
} as const;

/** A program of the lab, with the environment that it needs; the host's own has nothing of it. */
export const wrapper = (program: string): string => `#!/usr/bin/env bash
export LAB_NODE_DIR=${hostPaths.node} LAB_CLUSTER_DIR=${hostPaths.cluster} LAB_STUBS=${hostPaths.programs}
export LAB_NODE_NAME=$HOSTNAME K8S_UPGRADE_ROOT='' LAB_ROOT=$((EUID == 0))
exec ${hostPaths.programs}/bin/${program} "$@"
`;

/** Maintainer script that takes as long as the host's file says: the moment between two states of dpkg can be hit. */
const slow = (work: string): string => `#!/bin/sh
set -e
seconds=$(cat ${hostPaths.node}/state/duration/${work} 2>/dev/null || echo 0)
[ "$seconds" != 0 ] || exit 0
echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME" >${hostPaths.node}/state/at-work
sleep "$seconds"
`;

export interface DebSpec {
  readonly name: string;
  /** With its revision. */
  readonly version: string;
  /** The lab's program of the same or another name that it brings. @default none */
  readonly program?: string;
  readonly depends?: string;
  /** Contents by path; conffiles when below /etc. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Builds a package. Resolves with its file name. */
export async function buildDeb(spec: DebSpec, architecture: string, directory: string): Promise<string> {
  const file = `${spec.name}_${spec.version}_${architecture}.deb`;
  const tree = join(directory, `.${file}`);
  const files = { ...spec.files, [`${hostPaths.node}/state/dpkg/${spec.name}`]: spec.version };
  for (const [path, text] of Object.entries(files)) await write(join(tree, path), text);
  if (spec.program !== undefined) {
    await write(join(tree, 'usr/bin', spec.program), wrapper(spec.program), 0o755);
    const stub = join(tree, hostPaths.programs, 'bin', spec.program);
    await mkdir(dirname(stub), { recursive: true });
    await copyFile(join(stubs, 'bin', spec.program), stub);
    await chmod(stub, 0o755);
  }
  const conffiles = Object.keys(files).filter((path) => path.startsWith('/etc/'));
  if (conffiles.length > 0) await write(join(tree, 'DEBIAN/conffiles'), `${conffiles.join('\n')}\n`);
  await write(join(tree, 'DEBIAN/preinst'), slow('apt-unpack'), 0o755);
  await write(join(tree, 'DEBIAN/postinst'), slow('apt-configure'), 0o755);
  await write(join(tree, 'DEBIAN/control'), control(spec, architecture));
  await run('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z1', '--build', tree, join(directory, file)]);
  await rm(tree, { recursive: true });
  return file;
}

async function write(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { mode });
}

const control = ({ name, version, depends }: DebSpec, architecture: string): string =>
  [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Maintainer: Kubernetes Authors <dev@kubernetes.io>',
    ...(depends === undefined ? [] : [`Depends: ${depends}`]),
    'Section: admin',
    'Priority: optional',
    'Homepage: https://kubernetes.io',
    `Description: ${name}`,
    '',
  ].join('\n');
