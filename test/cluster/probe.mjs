// Sends a request every 100 ms, each on a connection of its own, until SIGTERM. Then prints what happened as
// JSON: { requests, failures: [{ at, after }] }. `at` is in Unix milliseconds, `after` the duration.
//   node probe.mjs URL
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';

const url = new URL(process.argv[2]);
const get = url.protocol === 'https:' ? getHttps : getHttp;
const failures = [];
let requests = 0;

const timer = setInterval(() => {
  requests += 1;
  const at = Date.now();
  let counted = false;
  const failed = () => {
    if (!counted) failures.push({ at, after: Date.now() - at });
    counted = true;
  };
  const sent = get(url, { agent: false, timeout: 3000, rejectUnauthorized: false }, (response) => {
    if (response.statusCode !== 200) failed();
    response.on('error', failed).resume();
  });
  sent.on('timeout', () => sent.destroy(new Error('no answer'))).on('error', failed);
}, 100);

process.once('SIGTERM', () => {
  clearInterval(timer);
  // The last requests may still be answered.
  setTimeout(() => process.stdout.write(JSON.stringify({ requests, failures }), () => process.exit()), 3100);
});
