// The HTTP client behind curl, wget and apt-get on the lab's nodes. It connects to loopback only, directly or
// through the proxy in $http_proxy.
//   get URL FILE [URL FILE…] | curl ARGS… | wget ARGS…
// Exit codes are curl's: 5 proxy not resolved, 6 host not resolved, 7 connection refused, 22 HTTP status with
// -f, 28 time-out, 47 too many redirects, 52 connection lost.
import { createWriteStream } from 'node:fs';
import { get } from 'node:http';
import { pipeline } from 'node:stream/promises';

class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function request(url, timeoutMs) {
  const proxy = process.env.http_proxy ? new URL(process.env.http_proxy) : undefined;
  const { hostname, port } = proxy ?? url;
  return new Promise((resolve, reject) => {
    if (!['127.0.0.1', 'localhost'].includes(hostname)) {
      reject(new Failure(proxy ? 5 : 6, `Could not resolve ${proxy ? 'proxy' : 'host'}: ${hostname}`));
      return;
    }
    const through = proxy && { hostname, port, path: url.href, headers: { host: url.host } };
    const sent = get(url, { ...through, timeout: timeoutMs }, resolve);
    sent.on('timeout', () => sent.destroy(new Failure(28, 'Operation timed out')));
    sent.on('error', (error) =>
      reject(
        error instanceof Failure ? error : new Failure(error.code === 'ECONNREFUSED' ? 7 : 52, error.message),
      ),
    );
  });
}

async function fetchTo(address, { file, follow, failOnStatus, timeoutMs }) {
  let url = new URL(address);
  for (let hops = 0; ; hops++) {
    const response = await request(url, timeoutMs);
    const { statusCode = 0, headers } = response;
    if (follow && statusCode >= 300 && statusCode < 400 && headers.location) {
      response.resume();
      if (hops >= 10) throw new Failure(47, 'Maximum (10) redirects followed');
      url = new URL(headers.location, url);
      continue;
    }
    if (failOnStatus && statusCode >= 400) {
      response.resume();
      throw new Failure(22, `The requested URL returned error: ${statusCode}`);
    }
    await pipeline(response, file === undefined ? process.stdout : createWriteStream(file), {
      end: file !== undefined,
    }).catch((error) => {
      throw new Failure(52, error.message);
    });
    return;
  }
}

/**
 * Parses `-fsSL`, `-o FILE`, `--max-time S`; for wget `-q`, `-O FILE`, `-T S`. Skips other options and their
 * values.
 */
function parse(client, args) {
  const wget = client === 'wget';
  const options = { follow: wget, failOnStatus: wget, timeoutMs: 30_000, file: undefined };
  let address;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === (wget ? '-O' : '-o') || arg === '--output') options.file = args[++i];
    else if (arg === '--max-time' || arg === '-T') options.timeoutMs = Number(args[++i]) * 1000;
    else if (['--proto', '--max-redirs', '--retry', '--connect-timeout', '-t'].includes(arg)) i++;
    else if (/^-[a-zA-Z]+$/.test(arg)) {
      if (!wget) {
        options.follow ||= arg.includes('L');
        options.failOnStatus ||= arg.includes('f');
      }
    } else if (!arg.startsWith('--')) address = arg;
  }
  if (options.file === '-') options.file = undefined;
  return { address, options };
}

async function main([client, ...args]) {
  if (client !== 'get') {
    const { address, options } = parse(client, args);
    await fetchTo(address, options);
    return;
  }
  for (let i = 0; i < args.length; i += 2) {
    await fetchTo(args[i], { file: args[i + 1], follow: true, failOnStatus: true, timeoutMs: 30_000 });
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`curl: (${error.code ?? 1}) ${error.message}\n`);
  process.exitCode = Number.isInteger(error.code) ? error.code : 1;
});
