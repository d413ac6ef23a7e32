import { Cron } from 'croner';
import { notAllowed } from './checked.ts';

const cronField =
  /^(\*|\d+|[a-z]{3})(-(\d+|[a-z]{3}))?(\/\d+)?(,(\*|\d+|[a-z]{3})(-(\d+|[a-z]{3}))?(\/\d+)?)*$/i;

/**
 * A schedule that the CronJob controller accepts: five fields; Sunday is 0, never 7. Throws for any other.
 */
export function cronSchedule(prop: string, schedule: string): string {
  const fields = schedule.split(' ');
  const wrong = notAllowed(prop, schedule, 'five cron fields, such as "0 12 * * 0" (Sunday is 0)');
  if (fields.length !== 5 || !fields.every((f) => cronField.test(f)) || /7/.test(fields[4] ?? ''))
    throw wrong;
  try {
    // Catches what the pattern lets pass: minute 60, and a day that never comes.
    if (new Cron(schedule, { paused: true, timezone: 'Etc/UTC' }).nextRun() === null) throw wrong;
  } catch {
    throw wrong;
  }
  return schedule;
}

/** A name from the time zone database. Throws for any other. */
export function timeZone(prop: string, name: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return name;
  } catch {
    throw notAllowed(prop, name, 'a time zone such as Etc/UTC or Europe/London');
  }
}

const day = 24 * 3600 * 1000;

/**
 * The longest time between two runs of a schedule, in seconds; to within a day where there are several runs a
 * day. Covers four years, after which leap years repeat. In UTC: an hour of daylight saving time makes no
 * difference here.
 *
 * @param schedule one that `cronSchedule` accepts.
 */
export function longestGapSeconds(schedule: string): number {
  const cron = new Cron(schedule, { paused: true, utcOffset: 0 });
  const start = Date.UTC(2023, 0, 1);
  const runAfter = (time: number) => cron.nextRun(new Date(time))?.getTime() ?? time;
  let longest = 0;
  for (let run = runAfter(start); run < start + 4 * 366 * day; ) {
    const next = runAfter(run);
    longest = Math.max(longest, next - run);
    // Looks at one run a day, which keeps the loop short for a schedule with many.
    run = Math.max(next, run + day);
  }
  return longest / 1000;
}
