import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The faults of a node's programs. Each lasts until it is cleared, or for `times` calls. */
export interface FaultArguments {
  /** kubeadm fails this many times. */
  readonly 'kubeadm-fails': { times: number };
  /** kubeadm hangs until this is cleared. */
  readonly 'kubeadm-hang': Record<string, never>;
  /** kubeadm gives up on a static pod (F20), after it changed it or rolled it back. */
  readonly 'static-pod-hash': { component: string; how: 'changed' | 'reverted'; times: number };
  /** kubeadm refuses the cluster's CoreDNS (F21). */
  readonly coredns: Record<string, never>;
  /** The Job of kubeadm's health check times out in `upgrade plan`, this many times. */
  readonly 'late-job-plan': { times: number };
  /** The same in `upgrade apply`. */
  readonly 'late-job-apply': { times: number };
  /** Another program holds apt's locks. The version of dpkg decides the wording of its error. */
  readonly 'apt-lock': { holder: string; dpkg?: '1.19' | '1.20' };
  /** apt-get install reaches no repository, this many times. */
  readonly 'no-route-install': { times: number };
  /** apt-get update reaches no repository, this many times. */
  readonly 'no-route-update': { times: number };
  /** The registry has no image that matches this regular expression, for this many pulls of such images. */
  readonly 'no-images': { matching: string; times?: number };
  /** kubectl on the node does not reach the API server, this many times. */
  readonly 'no-api': { times: number };
  /** Free space in MiB, of the whole disk or below a path. */
  readonly 'disk-full': { mib: number; path?: string };
  /** kubelet does not become active. */
  readonly 'kubelet-fails': Record<string, never>;
  /** containerd does not start. */
  readonly 'containerd-fails': Record<string, never>;
  /** The next snapshots hold no keys. */
  readonly 'etcd-empty': Record<string, never>;
  /** A snapshot takes this many seconds. */
  readonly 'etcd-slow': { seconds: number };
  /** This node's etcd member runs but does not reach the others. */
  readonly 'etcd-unhealthy': Record<string, never>;
  /** etcd's container is not running. */
  readonly 'etcd-down': Record<string, never>;
  /** sudo asks for a password. */
  readonly 'sudo-password': Record<string, never>;
}

/** Name of a fault, and of its file. */
export type FaultName = keyof FaultArguments;

/**
 * Sets and clears faults. Each is a file that the stubs read, so that a person in a shell on the node can set
 * it, too.
 */
export class NodeFaults {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Sets a fault, or replaces its arguments. */
  set<N extends FaultName>(name: N, args: FaultArguments[N]): void {
    writeFileSync(this.#file(name), `${Object.values(args).join(' ')}\n`);
  }

  /** Clears a fault; does nothing when it is not set. */
  clear(name: FaultName): void {
    rmSync(this.#file(name), { force: true });
  }

  /** Whether the fault is set. */
  has(name: FaultName): boolean {
    return existsSync(this.#file(name));
  }

  #file(name: FaultName): string {
    return join(this.#directory, name);
  }
}
