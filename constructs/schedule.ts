import { Cron } from 'croner';
import { notAllowed } from './checked.ts';

const cronField =
  /^(\*|\d+|[a-z]{3})(-(\d+|[a-z]{3}))?(\/\d+)?(,(\*|\d+|[a-z]{3})(-(\d+|[a-z]{3}))?(\/\d+)?)*$/i;

/** A schedule that the CronJob controller takes: five fields; Sunday is 0, never 7. */
export function cronSchedule(prop: string, schedule: string): string {
  const fields = schedule.split(' ');
  const wrong = notAllowed(prop, schedule, 'five cron fields, such as "0 12 * * 0" (Sunday is 0)');
  if (fields.length !== 5 || !fields.every((f) => cronField.test(f)) || /7/.test(fields[4] ?? ''))
    throw wrong;
  try {
    // Two clear cases that a pattern lets pass: a minute 60, a day that never comes.
    if (new Cron(schedule, { paused: true, timezone: 'Etc/UTC' }).nextRun() === null) throw wrong;
  } catch {
    throw wrong;
  }
  return schedule;
}

/** A name from the time zone database. */
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
 * The longest time between two runs of a schedule, in seconds, to within a day where there are several runs a day. Over the
 * four years in which a calendar repeats; in UTC, as an hour more or less in some time zone changes nothing here.
 *
 * @param schedule a valid one.
 */
export function longestGapSeconds(schedule: string): number {
  const cron = new Cron(schedule, { paused: true, utcOffset: 0 });
  const start = Date.UTC(2023, 0, 1);
  const runAfter = (time: number) => cron.nextRun(new Date(time))?.getTime() ?? time;
  let longest = 0;
  for (let run = runAfter(start); run < start + 4 * 366 * day; ) {
    const next = runAfter(run);
    longest = Math.max(longest, next - run);
    // Not every run of a schedule that has many in a day.
    run = Math.max(next, run + day);
  }
  return longest / 1000;
}
