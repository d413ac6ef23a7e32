import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { describe } from './describe.ts';
import type { RunEvent, Sink } from './events.ts';

/** Logs JSON lines, or readable lines on a terminal. Writes synchronously, so nothing is lost at exit. */
export function createLogger(terminal: boolean, color: boolean): Logger {
  const options = { base: undefined, timestamp: pino.stdTimeFunctions.isoTime };
  if (!terminal) return pino(options, pino.destination({ dest: 1, sync: true }));
  const stream = pretty({ ...prettyOptions(color), sync: true, destination: 1 });
  return pino(options, stream);
}

const prettyOptions = (color: boolean) => ({
  colorize: color,
  translateTime: 'SYS:HH:MM:ss',
  ignore: 'event',
  hideObject: true,
});

/** Logs each event as an object, with its text as the message. */
export function logSink(logger: Logger): Sink {
  return {
    name: 'log',
    handle(event) {
      logger[levelOf(event)]({ event }, describe(event));
    },
  };
}

function levelOf(event: RunEvent): 'debug' | 'info' | 'warn' | 'error' {
  if (event.type === 'heartbeat') return 'debug';
  // The node keeps the whole log; only its milestones are worth `info` here.
  if (event.type === 'script' && !/^(==>|error:)/.test(event.line)) return 'debug';
  if (event.type === 'waiting' || event.type === 'notice') return 'warn';
  if (event.type !== 'run-ended' || event.outcome === 'done') return 'info';
  return event.outcome === 'failed' ? 'error' : 'warn';
}

/**
 * Formats the JSON lines of another process for a terminal. Other lines, and all lines elsewhere, stay
 * unchanged.
 */
export function readableLine(terminal: boolean, color: boolean): (line: string) => string {
  if (!terminal) return (line) => line;
  const format = pretty.prettyFactory(prettyOptions(color));
  return (line) => {
    try {
      return format(JSON.parse(line)).trimEnd();
    } catch {
      return line;
    }
  };
}
