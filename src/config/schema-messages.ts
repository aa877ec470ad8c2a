/** The validator's issues as sentences for the person who wrote the file: what is wrong, what is allowed. */
import type { z } from 'zod'
import { API_KEY_PREFIX } from '../core/api-key.ts'
import { type JsonSchema, plainSchema } from './json-schema.ts'
import { type Path, type Place, type ProblemList, quote } from './problem.ts'
import { nearest } from './suggestion.ts'
import type { YamlSource } from './yaml-source.ts'

type Issue = z.core.$ZodIssue

/** The value that was checked, and what it should be. */
interface Checked {
  readonly input: unknown
  readonly schema: JsonSchema
}

interface Finding {
  readonly path: Path
  readonly message: string
  readonly at?: 'key' | 'value'
  /** Set where the message says by itself what stands there. */
  readonly complete?: boolean
}

/** Under these keys a value that is wrong may still be a secret. */
const SECRET_KEYS = new Set(['token', 'apiKey', 'label', 'ledger', 'key', 'otlp'])

/** Turns issues into problems, each at the place of the value that it is about. */
export class IssueReporter {
  readonly #problems: ProblemList
  /** Made with the first issue of a kind: files without any do not need them. */
  readonly #schemas = new Map<'config' | 'tenant', JsonSchema>()

  constructor(problems: ProblemList) {
    this.#problems = problems
  }

  /** `path` is where `input` stands in `source`; the paths of the issues start there. */
  report(
    issues: readonly Issue[],
    checked: {
      /** Called only if there is room for more problems: it may have to parse. */
      source: () => YamlSource | undefined
      path: Path
      input: unknown
      kind: 'config' | 'tenant'
    },
  ): void {
    if (this.#problems.full) {
      this.#problems.omit(issues.length)
      return
    }
    const { path, input, kind } = checked
    const source = checked.source()
    if (!source) return
    const schema = this.#schemas.get(kind) ?? plainSchema(kind)
    this.#schemas.set(kind, schema)
    const base: Checked = { input, schema }
    for (const finding of issues.flatMap(issue => explain(issue, base))) {
      const place = { source, path: [...path, ...finding.path] }
      if (source.isBroken(place.path)) continue
      const found = finding.complete ? '' : foundText(place)
      this.#problems.add(place, `${finding.message}${found}`, finding.at)
    }
  }
}

function foundText({ source, path }: Place): string {
  const { text } = source.locate(path)
  const key = path.includes('headers') ? 'token' : path.findLast(step => typeof step === 'string')
  // A key in any other place was put there by mistake.
  if (text === undefined || SECRET_KEYS.has(key ?? '') || text.includes(API_KEY_PREFIX)) return ''
  return `, not ${quote(text)}`
}

function explain(issue: Issue, base: Checked): Finding[] {
  const path = issue.path.filter(step => typeof step !== 'symbol')
  const here = valueAt(base.input, path)
  // The validator's own sentences begin with a capital; those of the schema say "must …".
  const own = issue.message.startsWith('must ') ? issue.message : undefined
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map(key => unknownKey([...path, key], keysAt(base, path)))
    case 'invalid_type': {
      const schema = schemaAt(base, path)
      const must = own ?? `must be ${wanted(issue, schema)}`
      return [wrongType(path, here, must, schema?.description)]
    }
    case 'invalid_union':
      if (own !== undefined) return [wrongType(path, here, own)]
      return explainUnion(issue, path, base)
    case 'invalid_value':
      return [wrongType(path, here, `must be ${oneOf(issue.values)}`)]
    case 'too_small':
    case 'too_big':
      return [{ path, message: own ?? outOfRange(issue) }]
    case 'invalid_format':
    case 'not_multiple_of':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return [{ path, message: own ?? `is not valid: ${issue.message}` }]
  }
}

function wrongType(path: Path, here: unknown, must: string, description?: string): Finding {
  if (here === undefined) {
    const meaning = description === undefined ? '' : ` (${description.replace(/\.$/, '')})`
    return { path, message: `is missing; it ${must}${meaning}`, complete: true }
  }
  if (here === null) return { path, message: `is empty; it ${must}`, complete: true }
  if (typeof here !== 'object') return { path, message: must }
  return {
    path,
    message: `${must}, not ${Array.isArray(here) ? 'a list' : 'a map'}`,
    complete: true,
  }
}

function unknownKey(path: Path, allowed: readonly string[]): Finding {
  const guess = nearest(String(path.at(-1)), allowed)
  const hint = guess === undefined ? '' : `; did you mean ${guess}?`
  const message = `is not a key here${hint}; allowed: ${allowed.join(', ')}`
  return { path, message, at: 'key', complete: true }
}

function outOfRange(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const small = issue.code === 'too_small'
  const limit = Number(small ? issue.minimum : issue.maximum)
  const bound = `${small ? 'at least' : 'at most'} ${limit + (issue.inclusive === false ? 1 : 0)}`
  if (issue.origin === 'array') return `must have ${bound} ${limit === 1 ? 'entry' : 'entries'}`
  if (issue.origin === 'string')
    return limit === 1 ? 'must not be empty' : `must have ${bound} characters`
  return `must be ${bound}`
}

/**
 * A union of maps that differ by one key (a credential, a tenant source) or by the value of one (a listener). The
 * validator tells what is wrong with every alternative; a person meant one of them.
 */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, base: Checked): Finding[] {
  const options = alternatives(schemaAt(base, path.slice(0, issue.discriminator ? -1 : undefined)))
  const here = valueAt(base.input, path)
  if (issue.discriminator !== undefined) {
    const modes = options.map(option => option.properties?.[issue.discriminator ?? '']?.const)
    return [wrongType(path, here, `must be ${oneOf(modes)}`)]
  }
  const names = options.flatMap(option => option.required ?? [])
  if (typeof here !== 'object' || here === null || Array.isArray(here)) {
    return [wrongType(path, here, `must be a map with one of the keys ${names.join(', ')}`)]
  }
  const keys = Object.keys(here)
  const chosen = names.filter(name => keys.includes(name))
  if (chosen.length === 0 && keys.length === 1) return [unknownKey([...path, keys[0] ?? ''], names)]
  if (chosen.length !== 1) {
    const found = keys.length === 0 ? 'none' : keys.slice(0, 8).join(' and ')
    const message = `must have exactly one of the keys ${names.join(', ')}; it has ${found}`
    return [{ path, message, complete: true }]
  }
  const index = options.findIndex(option => option.required?.includes(chosen[0] ?? ''))
  const inner = issue.errors[index] ?? []
  return inner.flatMap(each => explain({ ...each, path: [...path, ...each.path] }, base))
}

/** The types of values as people call them. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a map of keys',
  record: 'a map of keys',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
}

function wanted(issue: z.core.$ZodIssueInvalidType, schema: JsonSchema | undefined): string {
  const options = schema ? alternatives(schema) : []
  const values = options.flatMap(option => option.enum ?? [])
  if (values.length > 0) return oneOf(values)
  const { minimum, maximum } = schema ?? {}
  const range =
    minimum === undefined || maximum === undefined ? '' : ` from ${minimum} to ${maximum}`
  if (issue.expected === 'number' || issue.expected === 'int') return `a whole number${range}`
  return TYPE_NAMES[issue.expected] ?? issue.expected
}

function oneOf(values: readonly unknown[]): string {
  const words = values.map(String)
  const last = words.pop() ?? ''
  return words.length === 0 ? last : `${words.join(', ')} or ${last}`
}

function keysAt(base: Checked, path: Path): string[] {
  const options = alternatives(choose(schemaAt(base, path), valueAt(base.input, path)))
  return [...new Set(options.flatMap(option => Object.keys(option.properties ?? {})))]
}

function alternatives(schema: JsonSchema | undefined): readonly JsonSchema[] {
  return schema?.oneOf ?? schema?.anyOf ?? (schema ? [schema] : [])
}

/** The schema of `path`. Where there are alternatives on the way, the input chooses; those of the end are kept. */
function schemaAt(base: Checked, path: Path): JsonSchema | undefined {
  let schema: JsonSchema | undefined = base.schema
  for (const [index, step] of path.entries()) {
    schema = choose(schema, valueAt(base.input, path.slice(0, index)))
    schema = typeof step === 'number' ? schema?.items : schema?.properties?.[step]
  }
  return schema
}

/** The alternative that the input chose: by the one value that is fixed in it, else by the keys that it must have. */
function choose(schema: JsonSchema | undefined, input: unknown): JsonSchema | undefined {
  if (typeof input !== 'object' || input === null) return schema
  const fits = alternatives(schema).filter(option => {
    const fixed = Object.entries(option.properties ?? {}).filter(([, each]) => 'const' in each)
    if (fixed.length === 0) return (option.required ?? []).some(key => Object.hasOwn(input, key))
    return fixed.every(([key, each]) => Reflect.get(input, key) === each.const)
  })
  return fits.length === 1 && (schema?.oneOf || schema?.anyOf) ? fits[0] : schema
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.hasOwn(value, step) ? Reflect.get(value, step) : undefined
  }
  return value
}
