import type { UserRef } from '../auth/tokens.ts';
import type { Rest } from './rest.ts';

/**
 * An API server that the contract is checked against: the lab's or a real one. The image `lab/sh` runs its
 * arguments with bash; containers of any other image are simply running.
 */
export interface Target {
  /** Client of the cluster administrator. */
  readonly rest: Rest;
  /** Client of another user; `nobody` has no token. */
  as(user: UserRef | 'nobody' | { readonly token: string }): Promise<Rest>;
  /** Writes a kubeconfig and returns its path. */
  kubeconfig(user: UserRef): Promise<string>;
  /** Adds a Ready node that pods can be scheduled to. */
  addNode(name: string): Promise<void>;
  /** Kills the processes of a pod as the kernel's OOM killer does. */
  killForMemory(pod: string): void;
  /** Drops the history that watches can start from. */
  compact(): Promise<void>;
  /** Scratch directory of this target. */
  readonly dir: string;
  /** Stops the server. */
  stop(): Promise<void>;
}

/** Starts a target. Called once for each part of the contract. */
export type StartTarget = () => Promise<Target>;
