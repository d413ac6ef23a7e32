import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const chartVersion = '27.0.0';

/** What the owner of the release has in it already. */
export const ownGroup = { name: 'of the owner', rules: [{ alert: 'Own', expr: 'vector(1)' }] };

/**
 * The part of the chart `prometheus` that takes rules: each of `serverFiles` is a key of the server's
 * ConfigMap.
 */
const template = `apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-server
  namespace: {{ .Release.Namespace }}
data:
{{- range $name, $file := .Values.serverFiles }}
  {{ $name }}: |
{{ toYaml $file | default "{}" | indent 4 }}
{{- end }}
`;

/** A repository of charts on loopback, as Helm reads one: an index and an archive. */
export class ChartRepository {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ChartRepository> {
    const dir = mkdtempSync(join(tmpdir(), 'charts-'));
    mkdirSync(join(dir, 'prometheus/templates'), { recursive: true });
    const chart = { apiVersion: 'v2', name: 'prometheus', version: chartVersion };
    writeFileSync(join(dir, 'prometheus/Chart.yaml'), JSON.stringify(chart));
    writeFileSync(join(dir, 'prometheus/templates/cm.yaml'), template);
    execFileSync('tar', ['-czf', 'chart.tgz', 'prometheus'], { cwd: dir });
    const archive = readFileSync(join(dir, 'chart.tgz'));
    rmSync(dir, { recursive: true });
    const entries = { prometheus: [{ ...chart, urls: ['chart.tgz'] }] };
    const index = JSON.stringify({ apiVersion: 'v1', entries });
    const server = createServer((request, response) => {
      response.end(request.url === '/index.yaml' ? index : archive);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ChartRepository(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
