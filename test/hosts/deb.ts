import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stubs } from '../lab/nodes/filesystem.ts';
import { run } from './shell.ts';

/** Directories of the lab's programs on a host. */
export const hostPaths = {
  node: '/var/lib/lab-node',
  cluster: '/var/lib/lab-cluster',
  programs: '/usr/lib/lab-node',
} as const;

/**
 * A script that runs a program of the lab with the environment that it needs.
 *
 * @param release what the program says it is. @default that of the installed package
 */
export const wrapper = (program: string, release = ''): string => `#!/usr/bin/env bash
export LAB_NODE_DIR=${hostPaths.node} LAB_CLUSTER_DIR=${hostPaths.cluster} LAB_STUBS=${hostPaths.programs}
export LAB_NODE_NAME=$HOSTNAME K8S_UPGRADE_ROOT='' LAB_ROOT=$((EUID == 0)) LAB_VERSION=${release}
exec ${hostPaths.programs}/bin/${program} "$@"
`;

/** A maintainer script of configurable duration, so that tests can act between two states of dpkg. */
const slow = (work: string): string => `#!/bin/sh
set -e
seconds=$(cat ${hostPaths.node}/state/duration/${work} 2>/dev/null || echo 0)
[ "$seconds" != 0 ] || exit 0
echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME" >${hostPaths.node}/state/at-work
sleep "$seconds"
`;

/** A package to build. */
export interface DebSpec {
  readonly name: string;
  /** Debian version, including the revision. */
  readonly version: string;
  /** Value of `Depends`. @default none */
  readonly depends?: string;
  /** Contents by path; files below /etc are conffiles. @default none */
  readonly files?: Readonly<Record<string, string>>;
  /** Programs by path: the files that they are copies of. @default none */
  readonly programs?: Readonly<Record<string, string>>;
  /** Maintainer scripts by name. @default none */
  readonly scripts?: Readonly<Record<string, string>>;
}

/** A package with the lab's `program`, if any, of which the lab's programs know that it is installed. */
export const labDeb = (spec: DebSpec, program?: string): DebSpec => ({
  ...spec,
  files: {
    ...spec.files,
    [`${hostPaths.node}/state/dpkg/${spec.name}`]: spec.version,
    ...(program !== undefined && {
      [`/usr/bin/${program}`]: wrapper(program, program === 'kubeadm' ? spec.version.split('-')[0] : ''),
    }),
  },
  ...(program !== undefined && {
    programs: { [`${hostPaths.programs}/bin/${program}`]: join(stubs, 'bin', program) },
  }),
  scripts: { preinst: slow('apt-unpack'), postinst: slow('apt-configure') },
});

/** Builds a package. Resolves with its file name. */
export async function buildDeb(spec: DebSpec, architecture: string, directory: string): Promise<string> {
  const file = `${spec.name}_${spec.version}_${architecture}.deb`;
  const tree = join(directory, `.${file}`);
  const { files = {}, programs = {}, scripts = {} } = spec;
  for (const [path, text] of Object.entries(files))
    await write(join(tree, path), text, path.startsWith('/usr/bin/') ? 0o755 : 0o644);
  for (const [path, source] of Object.entries(programs)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await copyFile(source, join(tree, path));
    await chmod(join(tree, path), 0o755);
  }
  const conffiles = Object.keys(files).filter((path) => path.startsWith('/etc/'));
  if (conffiles.length > 0) await write(join(tree, 'DEBIAN/conffiles'), `${conffiles.join('\n')}\n`);
  for (const [name, text] of Object.entries(scripts)) await write(join(tree, 'DEBIAN', name), text, 0o755);
  await write(join(tree, 'DEBIAN/control'), control(spec, architecture));
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, join(directory, file)]);
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
