/**
 * The header or trailer fields of a message that are handed on as they came. HTTP/1.1 writes them as lines, HTTP/2 as a
 * list; they are turned from one into the other only where the two sides of a call speak different versions.
 */
import { fieldName } from '../../codec/http2/field-name.ts'
import {
  HeaderField,
  INDEXED,
  type Indexing,
  NEVER,
  PLAIN,
} from '../../codec/http2/header-field.ts'
import { flatCopy } from '../../codec/latin1.ts'

/**
 * Fields whose values differ with nearly every message, or are secrets: in a table of HPACK the ones would only push out
 * others, and the others could be guessed (RFC 7541 §7.1).
 */
const NOT_INDEXED: ReadonlyMap<string, Indexing> = new Map([
  ['authorization', NEVER],
  ['cookie', NEVER],
  ['set-cookie', NEVER],
  ['content-length', PLAIN],
  ['content-range', PLAIN],
  ['etag', PLAIN],
  ['if-match', PLAIN],
  ['if-none-match', PLAIN],
  ['if-modified-since', PLAIN],
  ['last-modified', PLAIN],
  ['location', PLAIN],
  ['range', PLAIN],
  ['traceparent', PLAIN],
  ['x-request-id', PLAIN],
])

/** A field of ours, or one that came by HTTP/1.1, as it is best remembered. `name` in lower case. */
export function fieldOf(name: string, value: string): HeaderField {
  return new HeaderField(name, value, NOT_INDEXED.get(name) ?? INDEXED)
}

const CONTENT_LENGTH = fieldName('content-length')
const MOST_KEPT_LENGTHS = 4_096
const LENGTH_FIELDS: (HeaderField | undefined)[] = Array.from({ length: MOST_KEPT_LENGTHS })

/** `content-length`; that of small bodies is made once. */
export function lengthField(octets: number): HeaderField {
  if (octets >= MOST_KEPT_LENGTHS) return newLengthField(octets)
  return (LENGTH_FIELDS[octets] ??= newLengthField(octets))
}

function newLengthField(octets: number): HeaderField {
  return new HeaderField(CONTENT_LENGTH, String(octets), PLAIN)
}

export class MessageFields {
  #lines: string | undefined = ''
  #list: readonly HeaderField[] | undefined

  /** Lines of HTTP/1.1, valid by its grammar, each with its CRLF. */
  setLines(lines: string): void {
    this.#lines = lines
    this.#list = undefined
  }

  /** Valid fields of HTTP/2, whose values are valid in HTTP/1.1, too. The array stays as it is for as long as this is used. */
  setList(list: readonly HeaderField[]): void {
    this.#lines = undefined
    this.#list = list
  }

  /** Without the fields `names` (in lower case), and with one more at the end. Meant for what is done to few messages. */
  replace(names: readonly string[], field: HeaderField): void {
    if (this.#lines !== undefined)
      this.setLines(`${linesWithout(this.#lines, names)}${linesOf([field])}`)
    else this.setList([...this.list.filter(({ name }) => !names.includes(name)), field])
  }

  get lines(): string {
    this.#lines ??= linesOf(this.#list ?? [])
    return this.#lines
  }

  get list(): readonly HeaderField[] {
    this.#list ??= listOf(this.#lines ?? '')
    return this.#list
  }

  /** Value of the first field of this name (in lower case), or ''. Meant for what is asked of few messages. */
  valueOf(name: string): string {
    return this.list.find(field => field.name === name)?.value ?? ''
  }
}

export const NO_FIELDS: MessageFields = new MessageFields()

function linesOf(list: readonly HeaderField[]): string {
  let lines = ''
  for (const { name, value } of list) lines += `${name}: ${value}\r\n`
  return lines
}

function linesWithout(lines: string, names: readonly string[]): string {
  return lines
    .split(/(?<=\r\n)/)
    .filter(line => !names.includes(line.slice(0, line.indexOf(':')).toLowerCase()))
    .join('')
}

/** Sections that came lately, by their length, and what they are. */
const MOST_SECTIONS = 16
const MOST_SECTION_CHARS = 2_048
const SECTIONS: { lines: string; list: readonly HeaderField[] }[] = Array.from(
  { length: MOST_SECTIONS },
  () => ({ lines: '', list: [] }),
)

/** Answers of a deployment say the same but for the second of their date: then one comparison tells it. */
function listOf(lines: string): readonly HeaderField[] {
  const section = SECTIONS[lines.length % MOST_SECTIONS] as (typeof SECTIONS)[number]
  if (section.lines === lines) return section.list
  const list = newListOf(lines)
  if (lines.length <= MOST_SECTION_CHARS && list.every(({ indexing }) => indexing === INDEXED)) {
    section.lines = flatCopy(lines) ?? lines
    section.list = list
  }
  return list
}

function newListOf(lines: string): HeaderField[] {
  const list: HeaderField[] = []
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at)
    list.push(fieldOfLine(lines.slice(at, end)))
    at = end + 2
  }
  return list
}

/** The same of single lines. Whoever fills it with others makes us work them out again, no more. */
const LINES = new Map<string, HeaderField>()
const MOST_LINES = 512
const MOST_LINE_CHARS = 256

function fieldOfLine(line: string): HeaderField {
  const known = LINES.get(line)
  if (known !== undefined) return known
  const colon = line.indexOf(':')
  const name = line.slice(0, colon).toLowerCase()
  const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')
  // What differs each time, or is a secret, is not kept.
  if (NOT_INDEXED.has(name) || line.length > MOST_LINE_CHARS) return fieldOf(name, value)
  if (LINES.size >= MOST_LINES) LINES.clear()
  // Copies: what was cut out of a head would keep all of it.
  const field = fieldOf(name, flatCopy(value) ?? value)
  LINES.set(flatCopy(line) ?? line, field)
  return field
}
