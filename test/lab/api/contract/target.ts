import type { UserRef } from '../auth/tokens.ts';
import type { Rest } from './rest.ts';

/**
 * An API server that the contract is asked of: the lab's, or a real one. Image `lab/sh` runs its arguments with bash; any other
 * image is running at once.
 */
export interface Target {
  /** As cluster administrator. */
  readonly rest: Rest;
  /** As somebody else. */
  as(user: UserRef | 'nobody' | { readonly token: string }): Promise<Rest>;
  /** Path of a kubeconfig. */
  kubeconfig(user: UserRef): Promise<string>;
  /** A worker that is Ready and takes pods. */
  addNode(name: string): Promise<void>;
  /** Ends the processes of a pod as the kernel does when memory is short. */
  killForMemory(pod: string): void;
  /** Forgets what watches could start from. */
  compact(): Promise<void>;
  /** A directory of its own. */
  readonly dir: string;
  stop(): Promise<void>;
}

/** One for each file of tests. */
export type StartTarget = () => Promise<Target>;
