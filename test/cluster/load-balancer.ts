import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A load balancer of TCP connections before several API servers: the first that answers is used. */
export class LoadBalancer {
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(address: string, backends: readonly string[], port = 6443): Promise<LoadBalancer> {
    const server = createServer();
    const balancer = new LoadBalancer(server);
    let next = 0;
    server.on('connection', (client) => {
      const order = backends.map((_, index) => backends[(next + index) % backends.length] ?? '');
      next += 1;
      balancer.#track(client);
      void balancer.#join(client, order, port);
    });
    server.listen(port, address);
    await once(server, 'listening');
    return balancer;
  }

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #join(client: Socket, backends: readonly string[], port: number): Promise<void> {
    for (const host of backends) {
      const upstream = connect({ host, port, timeout: 2000 });
      this.#track(upstream);
      try {
        await once(upstream, 'connect');
      } catch {
        continue;
      }
      upstream.setTimeout(0);
      client.pipe(upstream).pipe(client);
      client.once('close', () => upstream.destroy());
      upstream.once('close', () => client.destroy());
      return;
    }
    client.destroy();
  }

  #track(socket: Socket): void {
    this.#open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
    socket.once('close', () => this.#open.delete(socket));
  }
}
