/** A call to one of the lab's servers, as the server receives it. */
export interface Call {
  /** `channel` is a command over an existing SSH connection. */
  readonly kind: 'api' | 'ssh' | 'channel' | 'http';
  /** The call in a few words: `patch nodes/k8s-node1`, `follow update_k8s on k8s-node1`. */
  readonly what: string;
  /** The caller's port on loopback, which identifies its process. */
  readonly port: number;
}

/** What happens to a call. */
export type Interference =
  /** It is answered with this code and has no effect. `retryAfter` in seconds. Over SSH like `cut`. */
  | { readonly status: 429 | 500; readonly retryAfter?: number }
  /** The connection breaks off. */
  | 'cut'
  /** The connection is silent for this time and then breaks off. Milliseconds. */
  | { readonly silenceMs: number }
  /** The connection breaks off when this much of a command's input has arrived. Anything else: like `cut`. */
  | { readonly afterBytes: number };

/**
 * Decides twice about each call whether it passes. It may kill the caller; it must then return `cut`, since
 * the call would otherwise still have its effect.
 */
export interface CallGate {
  /** Called before the call has any effect. Undefined lets it pass. */
  arrived(call: Call): Interference | undefined;
  /** Called after the call took effect, before its answer is sent. Undefined lets the answer pass. */
  answering(call: Call): Exclude<Interference, { status: number } | { afterBytes: number }> | undefined;
}
