import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { type Scenario, scenarioNamed, scenarios } from './scenarios.ts';
import { Terminal } from './terminal.ts';

/**
 * `node --import tsx test/lab/rehearse/main.ts [--scenario NAME|list]`. Exits with 0 when the scenario's runs
 * ended as expected, with 1 when they did not, and with 2 on an unknown scenario.
 */
async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { scenario: { type: 'string', default: 'patch' } },
  });
  if (values.scenario === 'list') {
    const width = Math.max(...scenarios.map(({ name }) => name.length));
    for (const { name, summary } of scenarios) console.log(`${name.padEnd(width)}  ${summary}`);
    return 0;
  }
  const scenario = scenarioNamed(values.scenario);
  if (scenario === undefined) {
    const allowed = ['list', ...scenarios.map(({ name }) => name)].join(', ');
    console.error(`--scenario: "${values.scenario}" is not allowed; expected one of ${allowed}`);
    return 2;
  }
  return rehearse(scenario);
}

async function rehearse(scenario: Scenario): Promise<number> {
  const terminal = new Terminal(process.stdout);
  terminal.print(`${pc.bold(scenario.name)}: ${scenario.summary}`);
  // Imported late, as listing the scenarios needs no cluster.
  const { Lab } = await import('../lab.ts');
  const lab = await Lab.start({ ...scenario.options, pace: 'visible' });
  const stop = () => void lab.stop().finally(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  lab.events.on('run-event', (event) => terminal.event(event));
  lab.events.on('log', (line) => terminal.print(line));
  lab.slack.events.on('message', ({ text }) => terminal.print(pc.magenta(`slack  ${text}`)));
  terminal.print('the lab is up: five nodes, the detection CronJob is due');
  try {
    const { runs } = await scenario.play(lab, { say: (text) => terminal.print(pc.cyan(`--- ${text}`)) });
    terminal.finish();
    return judge(scenario, runs);
  } finally {
    await lab.stop();
  }
}

function judge(scenario: Scenario, runs: readonly number[]): number {
  const list = (codes: readonly number[]) =>
    codes.length === 0 ? 'no run' : `exit ${codes.join(', then exit ')}`;
  const asExpected = runs.join() === scenario.expects.join();
  console.log(
    `${scenario.name}: ${list(runs)}${asExpected ? ', as expected' : `; expected ${list(scenario.expects)}`}`,
  );
  return asExpected ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
