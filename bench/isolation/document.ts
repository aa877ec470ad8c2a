/** The figures in docs/isolation.md, and the picture beside it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { IsolationResult } from './figures.ts'
import { isolationPicture } from './picture.ts'
import { isolationNotes, isolationTable } from './table.ts'

const DOCS = join(import.meta.dirname, '../../docs')
const TEXT = join(DOCS, 'isolation.md')
const PICTURE = join(DOCS, 'isolation.svg')

/** Where figures stand: between two comments. */
interface Place {
  readonly begin: string
  readonly end: string
}

const FIGURES: Place = {
  begin: '<!-- figures: written by npm run bench:isolation -- --write -->',
  end: '<!-- end of the figures -->',
}
const SOAK: Place = {
  begin: '<!-- figures of the soak: written by npm run bench:isolation -- --soak 30m --write -->',
  end: '<!-- end of the figures of the soak -->',
}

/** Replaces what an earlier run wrote; the names of the files are the answer. */
export function writeDocument(result: IsolationResult, command: string): string[] {
  writeFileSync(PICTURE, isolationPicture(result))
  return [write(FIGURES, figuresText(result, command)), PICTURE]
}

/** The same with the figures of a soak: `lines` beside what is said of every run. */
export function writeSoak(
  { machine, started }: Pick<IsolationResult, 'machine' | 'started'>,
  lines: readonly string[],
  command: string,
): string[] {
  const text = [`${runText({ machine, started }, command)}.`, ...lines].join('\n\n')
  return [write(SOAK, text)]
}

function write(place: Place, figures: string): string {
  writeFileSync(TEXT, withFigures(readFileSync(TEXT, 'utf8'), figures, place))
  return TEXT
}

/** Throws where there is no place for them. */
export function withFigures(
  document: string,
  figures: string,
  { begin, end }: Place = FIGURES,
): string {
  const [first, last] = [document.indexOf(begin), document.indexOf(end)]
  if (first < 0 || last < first) throw new Error(`no place for figures: ${begin} … ${end}`)
  return `${document.slice(0, first + begin.length)}\n\n${figures}\n\n${document.slice(last)}`
}

function runText(
  { machine, started }: Pick<IsolationResult, 'machine' | 'started'>,
  command: string,
): string {
  return `\`${command}\`, ${started.slice(0, 10)}, commit ${machine.commit}, ${machine.cpus} × ${machine.cpu}, Linux ${machine.kernel}`
}

function figuresText(result: IsolationResult, command: string): string {
  const { versions, seconds, rounds, rate } = result
  const peers = Object.entries(versions).map(([peer, version]) => `${peer} ${version}`)
  const notes = [...isolationNotes(result)].map(note => `- ${note}`)
  return [
    `${runText(result, command)}: ${peers.join('; ')}. ${rounds} rounds of ${seconds} s, ${rate} quiet calls a second.`,
    isolationTable(result),
    ...(notes.length > 0 ? [notes.join('\n')] : []),
    '![Latency of the quiet tenant by percentile, one panel a scenario](isolation.svg)',
  ].join('\n\n')
}
