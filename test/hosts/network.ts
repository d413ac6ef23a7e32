import { run } from './shell.ts';

/**
 * A bridge with a port for each host, in the address range for benchmarks (RFC 2544), which is not routed.
 */
export class HostNetwork {
  readonly #number: number;

  /** @param number unique among the networks of a test run; 0 to 255. */
  constructor(number: number) {
    this.#number = number;
  }

  /** The bridge's own address: services listen there, and the pipeline's connections come from it. */
  get gateway(): string {
    return this.#address(254);
  }

  /** Address of a host, by its number from 0. */
  addressOf(host: number): string {
    return this.#address(host + 1);
  }

  async create(): Promise<void> {
    await run('ip', ['link', 'add', this.bridge, 'type', 'bridge']);
    await run('ip', ['address', 'add', `${this.gateway}/24`, 'dev', this.bridge]);
    await run('ip', ['link', 'set', this.bridge, 'up']);
  }

  /** Creates a network namespace connected to the bridge. Resolves with its name. */
  async attach(host: number): Promise<string> {
    const namespace = `k8s-upgrade-hosts-${this.#number}-${host}`;
    const port = this.#port(host);
    await run('ip', ['netns', 'add', namespace]);
    await run('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]);
    await run('ip', ['link', 'set', port, 'master', this.bridge, 'up']);
    await run('ip', ['-n', namespace, 'address', 'add', `${this.addressOf(host)}/24`, 'dev', 'eth0']);
    await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
    await run('ip', ['-n', namespace, 'link', 'set', 'eth0', 'up']);
    return namespace;
  }

  /** Takes a host's link down or up. */
  async setLink(host: number, state: 'up' | 'down'): Promise<void> {
    await run('ip', ['link', 'set', this.#port(host), state]);
  }

  async remove(hosts: number): Promise<void> {
    for (let host = 0; host < hosts; host++) {
      // The kernel removes the ports of a namespace some time after it; another network may use their names.
      await run('ip', ['link', 'delete', this.#port(host)]);
      await run('ip', ['netns', 'delete', `k8s-upgrade-hosts-${this.#number}-${host}`]);
    }
    await run('ip', ['link', 'delete', this.bridge]);
  }

  /** Name of the bridge. */
  get bridge(): string {
    return `hosts${this.#number}`;
  }

  #port(host: number): string {
    return `hosts${this.#number}-${host}`;
  }

  #address(last: number): string {
    return `198.18.${this.#number}.${last}`;
  }
}
