/** A node that a lab is to have. */
export interface LabNodeSpec {
  readonly name: string;
  readonly role: 'control-plane' | 'worker';
  /** InternalIP. */
  readonly address: string;
}

/**
 * What stands for a node below the API: it answers over SSH. What the node reports to the API is the
 * kubelet's affair.
 */
export interface Machine {
  /** Of its sshd; the same for all nodes. */
  readonly port: number;
  /** As in known_hosts: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  stop(): Promise<void>;
}
