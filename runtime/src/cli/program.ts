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
 * Commands are loaded when they run, so that `--help` and `--version` start fast. The commands check the
 * values of their options themselves, so that errors name the field and what is allowed.
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
  1  failed: something went wrong; the message names the cause and what to do
  2  bad input: nothing was changed
  3  blocked: a gate is closed, or another run is in progress; somebody can act
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
      new Option('--settings <file>', 'settings file, YAML or JSON')
        .env('K8S_UPGRADE_SETTINGS')
        .default(mountPaths.settingsFile),
    )
    .option(
      '--kubeconfig <file>',
      'cluster to work on (default: $KUBECONFIG, ~/.kube/config, or the service account of the pod)',
    );
}

/**
 * A command that accepts a request for an upgrade.
 *
 * @param target describes what happens without a target.
 */
function requestCommand(name: string, description: string, target: string): Command {
  return command(name, description)
    .option(
      '--inputs <json>',
      'instead of the flags: {"target_version":"1.34.5","kind":"patch","dry_run":false,"stages":"all"}; the first two are required',
    )
    .option('--target-version <X.Y.Z>', `target release (${target})`)
    .option('--kind <patch|minor>', 'kind of the upgrade (required with --target-version)')
    .option('--stages <list>', 'all, or some of the stages below, separated by commas (default: all)')
    .addHelpText('after', stageList);
}

const upgradeCommand = (name: string, description: string): Command =>
  requestCommand(name, description, 'required without --inputs').option(
    '--dry-run',
    'report what would be done; change nothing',
  );

command('detect', 'look for a newer release and dispatch it, as the weekly CronJob does')
  .option('--dry-run', `do not dispatch (also ${environment.dryRun}=true)`)
  .action(async (options) => (await import('./commands/detect.ts')).detectCommand(options));

upgradeCommand('submit', 'start an upgrade as a Job in the cluster and follow its log')
  .option('--no-follow', 'return once the Job is scheduled on a node')
  .action(async (options) => (await import('./commands/submit.ts')).submitCommand(options));

upgradeCommand('run', 'upgrade in this process: in a Job of a run, or on a machine outside the cluster')
  .addOption(new Option('--run-id <id>').hideHelp())
  .addOption(new Option('--leg <number>').hideHelp())
  .action(async (options) => (await import('./commands/run.ts')).runCommand(options));

requestCommand(
  'plan',
  'show what would be done, node by node, and the state of every gate; change nothing',
  'default: what detection would choose',
).action(async (options) => (await import('./commands/plan.ts')).planCommand(options));

command(
  'status',
  'show the versions, the rollout in flight, the running executor and whether upgrades are halted',
)
  .option('--json', 'print JSON')
  .action(async (options) => (await import('./commands/status.ts')).statusCommand(options));

command('halt', 'set the kill switch: nothing new starts, and a run in progress stops before its next drain')
  .requiredOption('--reason <text>', 'why upgrades are halted; status and messages show it')
  .action(async (options) => (await import('./commands/kill-switch.ts')).haltCommand(options));

command('resume', 'lift the kill switch').action(async (options) =>
  (await import('./commands/kill-switch.ts')).resumeCommand(options),
);

command(
  'clear',
  'clear an abandoned rollout: its annotations on the namespace and the nodes, and its metrics',
)
  .option('--force', 'even while a run seems to be in progress')
  .action(async (options) => (await import('./commands/clear.ts')).clearCommand(options));

// What the pod of a node check runs; nobody else has a use for it.
program
  .command('check-node', { hidden: true })
  .description('try from within a pod whether pods work on its node')
  .requiredOption('--directory <path>', 'where an ephemeral volume is mounted')
  .requiredOption('--ca-file <path>', 'CA certificate of the API server')
  .action(async (options) => (await import('./commands/check-node.ts')).checkNodeCommand(options));

// Works without settings and without a cluster, like the scripts themselves.
program
  .command('node-script')
  .description('print a script that runs on nodes, to pipe it into bash there yourself')
  .argument('[NAME]', 'name of the script')
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

/** Runs the program and sets the exit code. Never rejects. */
export async function main(argv: readonly string[]): Promise<void> {
  // If the event loop runs empty before the command has ended, that is a crash, not a success.
  process.exitCode = crashed;
  try {
    await program.parseAsync(argv);
    if (process.exitCode === crashed) process.exitCode = exitCodes.done;
  } catch (error) {
    process.exitCode = explain(error);
  }
}

/** Exit code of a crash: a bug, after which the Job starts a new process. */
export const crashed = 70;

/** Prints the error. @returns the exit code. */
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
