/** A call to one of the lab's servers, as the server sees it. */
export interface Call {
  /** `channel` is a command over an SSH connection that was made before. */
  readonly kind: 'api' | 'ssh' | 'channel' | 'http';
  /** The whole call in a few words: `patch nodes/k8s-node1`, `follow update_k8s on k8s-node1`. */
  readonly what: string;
  /** The caller's port on loopback, by which its process can be found. */
  readonly port: number;
}

/** What becomes of a call. */
export type Interference =
  /** Answered with this code, without effect. `retryAfter` in seconds. Over SSH: as `cut`. */
  | { readonly status: 429 | 500; readonly retryAfter?: number }
  /** The connection breaks off. */
  | 'cut'
  /** Nothing is heard for so long; then the connection breaks off. Milliseconds. */
  | { readonly silenceMs: number }
  /**
   * The connection breaks off once so many bytes of what a command reads have arrived. Anything but a
   * command: as `cut`.
   */
  | { readonly afterBytes: number };

/**
 * Asked twice about each call. It may kill the caller before it returns; the call is then to be cut, or it
 * would still have its effect. /
 */
export interface CallGate {
  /** Before it has any effect. */
  arrived(call: Call): Interference | undefined;
  /** After it took effect, before its answer leaves. A status is of no use here. */
  answering(call: Call): Exclude<Interference, { status: number } | { afterBytes: number }> | undefined;
}
