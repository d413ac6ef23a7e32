import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What can go wrong on a node's programs. Each lasts until cleared, or for the number of times it was asked for. */
export interface FaultArguments {
  /** kubeadm fails this many times. */
  readonly 'kubeadm-fails': { times: number };
  /** kubeadm does not return until this is cleared. */
  readonly 'kubeadm-hang': Record<string, never>;
  /** kubeadm gives up on a static pod (F20), having changed it or having rolled it back. */
  readonly 'static-pod-hash': { component: string; how: 'changed' | 'reverted'; times: number };
  /** kubeadm refuses the cluster's CoreDNS (F21). */
  readonly coredns: Record<string, never>;
  /** The Job of kubeadm's health check is not through in time, this many times. */
  readonly 'late-job-plan': { times: number };
  readonly 'late-job-apply': { times: number };
  /** Another program holds apt's locks; how dpkg says so depends on its version. */
  readonly 'apt-lock': { holder: string; dpkg?: '1.19' | '1.20' };
  /** apt reaches no repository, this many times: one to install from, one to refresh from. */
  readonly 'no-route-install': { times: number };
  readonly 'no-route-update': { times: number };
  /** So many MiB are left, on the whole disk or below a path. */
  readonly 'disk-full': { mib: number; path?: string };
  /** kubelet does not become active. */
  readonly 'kubelet-fails': Record<string, never>;
  readonly 'containerd-fails': Record<string, never>;
  /** The next snapshots hold no keys. */
  readonly 'etcd-empty': Record<string, never>;
  /** A snapshot takes so many seconds. */
  readonly 'etcd-slow': { seconds: number };
  /** This node's member of etcd answers itself and has lost the others. */
  readonly 'etcd-unhealthy': Record<string, never>;
  /** etcd's container is not running. */
  readonly 'etcd-down': Record<string, never>;
  /** sudo asks for a password. */
  readonly 'sudo-password': Record<string, never>;
}

export type FaultName = keyof FaultArguments;

/** Faults are files that the stubs look at, so that a person in a shell on the node can set them as well. */
export class NodeFaults {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  set<N extends FaultName>(name: N, args: FaultArguments[N]): void {
    writeFileSync(this.#file(name), `${Object.values(args).join(' ')}\n`);
  }

  clear(name: FaultName): void {
    rmSync(this.#file(name), { force: true });
  }

  /** Whether the fault still lies ahead. */
  has(name: FaultName): boolean {
    return existsSync(this.#file(name));
  }

  #file(name: FaultName): string {
    return join(this.#directory, name);
  }
}
