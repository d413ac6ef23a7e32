import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The version of the only chart in the repository. */
export const chartVersion = '27.0.0';

/** The rules that the owner's Helm release already has. */
export const ownGroup = { name: 'of the owner', rules: [{ alert: 'Own', expr: 'vector(1)' }] };

/** The part of the chart `prometheus` for rules: each of `serverFiles` is a key of the server's ConfigMap. */
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

/** A Helm repository on loopback: an index and the archive of one chart. */
export class ChartRepository {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Resolves when the repository is listening. */
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

  /** `http://127.0.0.1:<port>`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stops serving and closes every connection. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
