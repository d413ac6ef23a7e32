import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { RunEvent, Sink } from './events.ts';
import { describe } from './describe.ts';

/** JSON lines in a pod, readable lines on a terminal. Written synchronously: nothing is lost when the process ends. */
export function createLogger(terminal: boolean, color: boolean): Logger {
  const options = { base: undefined, timestamp: pino.stdTimeFunctions.isoTime };
  if (!terminal) return pino(options, pino.destination({ dest: 1, sync: true }));
  const stream = pretty({
    colorize: color,
    sync: true,
    destination: 1,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'event',
    hideObject: true,
  });
  return pino(options, stream);
}

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
  if (event.type === 'waiting' || event.type === 'notice') return 'warn';
  if (event.type !== 'run-ended' || event.outcome === 'done') return 'info';
  return event.outcome === 'failed' ? 'error' : 'warn';
}
