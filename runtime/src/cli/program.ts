import { Command, CommanderError, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { exitCodes, UpgradeError } from '../errors.ts';
import { environment, mountPaths } from '../names.ts';
import { stageRows } from '../rollout/stages.ts';
import { scriptSummaries } from './script-summaries.ts';

const stageList = [
  '',
  'Stages (--stages), in their order:',
  ...stageRows.map(({ name, summary }) => `  ${name.padEnd(10)}  ${summary}`),
].join('\n');

const scriptList = [
  '',
  'Scripts (NAME):',
  ...Object.entries(scriptSummaries).map(([name, summary]) => `  ${name.padEnd(17)}  ${summary}`),
].join('\n');

/**
 * Commands are loaded when they run: `--help` and `--version` need no client of anything. What the options say is checked by
 * the commands themselves, so that an error names the field and what is allowed.
 */
const program = new Command('k8s-upgrade')
  .description(
    'Unattended Kubernetes version upgrades for kubeadm clusters: one node at a time, behind safety gates.\n\n' +
      'Start with plan: it shows what would be done and every gate, and changes nothing.',
  )
  .version(packageJson.version)
  .exitOverride()
  .addHelpText(
    'after',
    `
Exit codes:
  0  done, or held: nothing to do but wait
  1  failed: something went wrong; the message says what and what to do
  2  bad input: nothing was changed
  3  blocked: a gate is closed, or another run is at work; somebody can act
${stageList}

Examples:
  k8s-upgrade plan --settings settings.yaml
  k8s-upgrade run --target-version 1.34.5 --kind patch --dry-run --settings settings.yaml
  k8s-upgrade submit --inputs '{"target_version":"1.34.5","kind":"patch","stages":"preflight,snapshot"}'
  k8s-upgrade halt --reason "disk swap on k8s-node2"`,
  );

function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addOption(
      new Option('--settings <file>', 'settings, YAML or JSON')
        .env('K8S_UPGRADE_SETTINGS')
        .default(mountPaths.settingsFile),
    )
    .option(
      '--kubeconfig <file>',
      'cluster to work on (default: $KUBECONFIG, ~/.kube/config, or the service account of the pod)',
    );
}

/** @param target what is done without one. */
function requestCommand(name: string, description: string, target: string): Command {
  return command(name, description)
    .option(
      '--inputs <json>',
      'in place of the flags: {"target_version":"1.34.5","kind":"patch","dry_run":false,"stages":"all"}, of which the first two are required',
    )
    .option('--target-version <X.Y.Z>', `release to go to (${target})`)
    .option('--kind <patch|minor>', 'what the step is (required with --target-version)')
    .option('--stages <list>', 'all, or some of the stages below, separated by commas (default: all)')
    .addHelpText('after', stageList);
}

const upgradeCommand = (name: string, description: string): Command =>
  requestCommand(name, description, 'required without --inputs').option(
    '--dry-run',
    'say what would be done; change nothing',
  );

command('detect', 'look for a newer release and dispatch it, as the weekly CronJob does')
  .option('--dry-run', `do not dispatch (also ${environment.dryRun}=true)`)
  .action(async (options) => (await import('./commands/detect.ts')).detectCommand(options));

upgradeCommand('submit', 'start an upgrade as a Job in the cluster and follow its log')
  .option('--no-follow', 'return once a node has taken the Job')
  .action(async (options) => (await import('./commands/submit.ts')).submitCommand(options));

upgradeCommand('run', 'upgrade from here: as one Job (Job) of a run, or from a machine outside the cluster')
  .addOption(new Option('--run-id <id>').hideHelp())
  .addOption(new Option('--leg <number>').hideHelp())
  .action(async (options) => (await import('./commands/run.ts')).runCommand(options));

requestCommand(
  'plan',
  'show what would be done, node by node, and the state of every gate; change nothing',
  'default: what detection would choose',
).action(async (options) => (await import('./commands/plan.ts')).planCommand(options));

command('status', 'show the versions, the rollout in flight, who is at work and whether upgrades are halted')
  .option('--json', 'as JSON')
  .action(async (options) => (await import('./commands/status.ts')).statusCommand(options));

command('halt', 'the kill switch: nothing new starts, and a run under way stops before its next node')
  .requiredOption('--reason <text>', 'why, for whoever finds it')
  .action(async (options) => (await import('./commands/kill-switch.ts')).haltCommand(options));

command('resume', 'lift the kill switch').action(async (options) =>
  (await import('./commands/kill-switch.ts')).resumeCommand(options),
);

command('clear', 'forget an abandoned rollout: its marks on the namespace and the nodes, and its metrics')
  .option('--force', 'even while a run seems to be at work')
  .action(async (options) => (await import('./commands/clear.ts')).clearCommand(options));

// Like the scripts themselves it works without settings and without a cluster.
program
  .command('node-script')
  .description('print a script that runs on a node, for working by hand: pipe it into bash there')
  .argument('[NAME]', 'which one')
  .usage('<NAME>')
  .addHelpText(
    'after',
    `${scriptList}

Examples:
  k8s-upgrade node-script update_k8s | bash -s -- --help
  k8s-upgrade node-script update_k8s | ssh NODE 'bash -s -- --role worker --release 1.34.5'
  k8s-upgrade node-script kubelet_facts | ssh NODE 'sudo bash -s'`,
  )
  .action(async (name) => (await import('./commands/node-script.ts')).nodeScriptCommand(name));

/** Runs the program. The only place that sets the exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  // Should the program ever run out of things to wait for before it has come to an end, that is a crash and no success.
  process.exitCode = crashed;
  try {
    await program.parseAsync(argv);
    if (process.exitCode === crashed) process.exitCode = exitCodes.done;
  } catch (error) {
    process.exitCode = explain(error);
  }
}

/** A bug, not an outcome: the Job starts a fresh process. */
export const crashed = 70;

function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.badInput;
  if (error instanceof UpgradeError) {
    process.stderr.write(`${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`);
    return exitCodes[error.code];
  }
  if (error instanceof Error && 'exitCode' in error) {
    process.stderr.write(`${error.message}\n`);
    return Number(error.exitCode);
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return crashed;
}
