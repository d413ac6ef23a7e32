/** A node that a lab is to have. */
export interface LabNodeSpec {
  readonly name: string;
  readonly role: 'control-plane' | 'worker';
  /** InternalIP. */
  readonly address: string;
}

/** What the lab needs of a node: where it answers, and its end. */
export interface ClusterNode {
  /** Of its sshd; the same for all nodes. */
  readonly port: number;
  /** As in known_hosts: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  stop(): Promise<void>;
}
