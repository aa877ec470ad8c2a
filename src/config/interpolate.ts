/**
 * `${NAME}`, `${NAME:-default}` and `${file:PATH}` in values. What is put in is never looked at again, so a secret that
 * happens to hold `${` stays as it is. `$${` stands for `${`.
 */
import { resolve } from 'node:path'
import type { Dependencies } from './dependencies.ts'
import { readText } from './files.ts'
import { quote } from './problem.ts'

export const MAX_INTERPOLATED_FILE_BYTES = 64 * 1024
/** A bound for the recursion; `${file:${DIR:-x}/y}` needs 2. */
const MAX_DEPTH = 8

export interface InterpolationContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Absolute; where `${file:PATH}` starts. */
  readonly directory: string
  /** Told what was taken from where. */
  readonly dependencies?: Dependencies | undefined
}

export type Interpolation = { readonly value: string } | { readonly fault: string }

/** `text` with everything replaced, or what is wrong with it. Never throws. */
export function interpolate(text: string, context: InterpolationContext, depth = 0): Interpolation {
  if (depth > MAX_DEPTH) return { fault: `\${…} inside each other, at most ${MAX_DEPTH} deep` }
  let value = ''
  let position = 0
  for (;;) {
    const dollar = text.indexOf('${', position)
    if (dollar < 0) return { value: value + text.slice(position) }
    if (text[dollar - 1] === '$' && dollar > position) {
      value += `${text.slice(position, dollar - 1)}\${`
      position = dollar + 2
      continue
    }
    const end = closingBrace(text, dollar + 2)
    if (end < 0)
      return { fault: `\${ without a closing }; write $\${ for the characters themselves` }
    const replaced = replace(text.slice(dollar + 2, end), context, depth)
    if ('fault' in replaced) return replaced
    value += text.slice(position, dollar) + replaced.value
    position = end + 1
  }
}

/** Characters that structure a flow collection, and noncharacters of Unicode, which no text holds, in their place. */
const FLOW = '{}[],'
const MASKS = '\u{fdd0}\u{fdd1}\u{fdd2}\u{fdd3}\u{fdd4}'

/**
 * Hides the braces of `${…}` from YAML, so that `{ token: ${TOKEN} }` needs no quotes. The length stays, and so all
 * positions do. What holds a quote is left alone: that `${` may be closed by a brace outside its string.
 */
export function maskReplacements(text: string): string {
  return text.includes('${') ? text.split('\n').map(maskLine).join('\n') : text
}

function maskLine(line: string): string {
  let masked = ''
  let position = 0
  for (;;) {
    const start = line.indexOf('${', position)
    const end = start < 0 ? -1 : closingBrace(line, start + 2)
    // Without an end the rest stays as it is: looking on from each of many `${` would take quadratic time.
    if (end < 0) return masked + line.slice(position)
    const expression = line.slice(start, end + 1)
    if (/["']/.test(expression)) return masked + line.slice(position)
    masked += line.slice(position, start) + exchange(expression, FLOW, MASKS)
    position = end + 1
  }
}

export function unmaskReplacements(text: string): string {
  return /[\u{fdd0}-\u{fdd4}]/u.test(text) ? exchange(text, MASKS, FLOW) : text
}

function exchange(text: string, from: string, to: string): string {
  let result = ''
  for (const character of text) {
    const index = from.indexOf(character)
    result += index < 0 ? character : to.charAt(index)
  }
  return result
}

function replace(body: string, context: InterpolationContext, depth: number): Interpolation {
  if (body.startsWith('file:')) {
    const path = interpolate(body.slice('file:'.length), context, depth + 1)
    return 'fault' in path ? path : readSecret(path.value, context)
  }
  const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(body)
  if (!match) {
    return { fault: `${quote(`\${${body}}`)} is not \${NAME}, \${NAME:-default} or \${file:PATH}` }
  }
  const [, name = '', fallback] = match
  const found = Object.hasOwn(context.env, name) ? context.env[name] : undefined
  context.dependencies?.variable(name, found)
  // As in a shell, `:-` also covers a variable that is set to nothing.
  if (fallback !== undefined && (found === undefined || found === '')) {
    return interpolate(fallback, context, depth + 1)
  }
  if (found !== undefined) return { value: found }
  return {
    fault: `the environment variable ${name} is not set; \${${name}:-default} has a default`,
  }
}

function readSecret(path: string, context: InterpolationContext): Interpolation {
  if (path === '' || path.includes('\0')) return { fault: '${file:PATH} needs a path' }
  const file = resolve(context.directory, path)
  context.dependencies?.file(file)
  const text = readText(file, MAX_INTERPOLATED_FILE_BYTES)
  if ('fault' in text) return { fault: `the file ${file} ${text.fault}` }
  return { value: text.value.replace(/\r?\n$/, '') }
}

/** Index of the `}` that ends a body which begins at `start`, or -1. */
function closingBrace(text: string, start: number): number {
  let open = 1
  for (let index = start; index < text.length; index += 1) {
    if (text[index] === '}') {
      open -= 1
      if (open === 0) return index
    } else if (text[index] === '$' && text[index + 1] === '{') {
      // An escaped `$${` opens nothing, but its `}` is then a plain character of the default, which ends here.
      if (text[index - 1] !== '$' || index - 1 < start) open += 1
      index += 1
    }
  }
  return -1
}
