import { stageRows } from '../../runtime/src/rollout/stages.ts';

/** A part of a line in one style. */
interface Span {
  readonly text: string;
  readonly style: string;
}

/** Width of the picture in characters; a longer line ends in an ellipsis. */
const columns = 118;
const elided = '⋮';
/** The picture shows only the first and the last of the four workers. */
const leftOut = /^ *[\d.]+s {2}k8s-node[32]: /;
/** Whether and for how long requests are repeated while the API server restarts depends on the machine. */
const retry = /no answer from the API server|trying again|the API server answers again/;

/** The code that starts a style in a terminal's output → its class in the picture. */
const styles: Readonly<Record<string, string>> = {
  1: 'b',
  2: 'd',
  31: 'r',
  32: 'g',
  33: 'y',
  35: 'm',
  36: 'c',
};

/** A line of terminal output, without its control codes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
export const plain = (line: string): string => line.replace(/\u001b\[[0-9;]*m/g, '');

/**
 * The lines of a rehearsal that the picture shows: only the first and the last Slack message and two of the
 * workers, without the end of the lab.
 *
 * @param output what `make rehearse` printed, with or without colours.
 */
export function shownOf(output: string): string[] {
  const lines = output.split('\n').filter((line) => plain(line).trim() !== '');
  const isSlack = (line: string) => / {2}slack {2}/.test(plain(line));
  const slack = lines.filter(isSlack);
  const ended = lines.findIndex((line) => plain(line).endsWith('the run ended: done'));
  const shown: string[] = [];
  for (const [index, line] of lines.entries()) {
    const text = plain(line);
    const isTail = !/^ *[\d.]+s {2}/.test(text);
    if ((ended >= 0 && index > ended && !isTail) || retry.test(text)) continue;
    // Of the lines inside the table keep only the one below its head.
    if (text.startsWith('├') && shown.some((one) => plain(one).startsWith('├'))) continue;
    if (isSlack(line) && line !== slack[0] && line !== slack.at(-1)) continue;
    if (!leftOut.test(text)) shown.push(line);
    else if (shown.at(-1) !== elided) shown.push(elided);
  }
  return shown;
}

/** The part of a line that is the same in every rehearsal: no times, sizes or generated names. */
export function lasting(line: string): string {
  return plain(line)
    .replace(/^ *[\d.]+s {2}/, '')
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'ID')
    .replace(/\b[0-9a-f]{8}\b/g, 'ID')
    .replace(/\d{8,}/g, 'N')
    .replace(/\b\d+(\.\d)?s\b/g, 'T')
    .replace(/[─┬┼┴]+/g, '─')
    .replace(/ +/g, ' ');
}

/** The picture: an SVG of a terminal. */
export function draw(lines: readonly string[]): string {
  const [charWidth, lineHeight, margin] = [7.3, 18, 16];
  const width = Math.ceil(columns * charWidth + 2 * margin);
  const height = lines.length * lineHeight + 2 * margin + 24;
  const rows = lines.map((line, index) => {
    const spans = cut(spansOf(line)).map(({ text, style }) =>
      style === '' ? xmlText(text) : `<tspan class="${style}">${xmlText(text)}</tspan>`,
    );
    const y = 24 + margin + (index + 0.75) * lineHeight;
    return `<text x="${margin}" y="${y}" xml:space="preserve">${spans.join('')}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    '<title>make rehearse: a patch upgrade of five nodes in the lab</title>',
    '<style>',
    'text { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 12px; fill: #d8dee9; }',
    '.b { font-weight: bold; fill: #ffffff; } .d { fill: #7b8494; } .r { fill: #ff7b72; } .g { fill: #7ee787; }',
    '.y { fill: #f2cc60; } .m { fill: #d2a8ff; } .c { fill: #79c0ff; }',
    '</style>',
    `<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>`,
    ...['#ff5f57', '#febc2e', '#28c840'].map(
      (fill, n) => `<circle cx="${22 + n * 20}" cy="20" r="6" fill="${fill}"/>`,
    ),
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}

/** The lines of a picture, as text. */
export function linesOf(svg: string): string[] {
  return [...svg.matchAll(/^<text [^>]*>(.*)<\/text>$/gm)].map(([, content = '']) =>
    content
      .replace(/<[^>]+>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&'),
  );
}

/** A line as the picture shows it, cut at the edge. */
export const cutLine = (line: string): string =>
  cut(spansOf(line))
    .map(({ text }) => text)
    .join('');

/** What the picture must show in any case: name and summary of each stage that was not skipped. */
export const stageLines: readonly string[] = stageRows
  .filter(({ name }) => name !== 'containerd' && name !== 'repo')
  .map(({ name, summary }) => `stage ${name}: ${summary}`);

function spansOf(line: string): Span[] {
  const spans: Span[] = [];
  let style = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
  for (const [, code, text = ''] of line.matchAll(/(?:\u001b\[(\d+)m)?([^\u001b]*)/g)) {
    if (code !== undefined) style = styles[code] ?? '';
    if (text !== '') spans.push({ text, style });
  }
  return spans;
}

function cut(spans: readonly Span[]): Span[] {
  const kept: Span[] = [];
  let left = columns;
  const whole = spans.reduce((sum, { text }) => sum + text.length, 0) <= columns;
  for (const { text, style } of spans) {
    const room = whole ? text.length : Math.max(0, left - 1);
    if (room > 0) kept.push({ text: text.slice(0, room), style });
    left -= text.length;
  }
  return whole ? kept : [...kept, { text: '…', style: 'd' }];
}

const xmlText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
