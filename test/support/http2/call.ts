/** A call and what came of it, in words that do not depend on the version of HTTP. */
import type { IncomingMessage } from 'node:http'

/** Names in lower case, values as they came, in order, each line for itself. */
export type FieldList = readonly (readonly [name: string, value: string])[]

export interface Call {
  readonly method?: string
  readonly path?: string
  /** `Host` or `:authority`. */
  readonly host?: string
  /** Several lines of one name as a list. */
  readonly fields?: Readonly<Record<string, string | readonly string[]>>
  /** Sent piece by piece. Without a Content-Length among the fields, none is sent. */
  readonly body?: readonly (string | Buffer)[]
  readonly trailers?: Readonly<Record<string, string>>
}

export interface Interim {
  readonly status: number
  readonly fields: FieldList
}

export interface Answer {
  readonly status: number
  readonly fields: FieldList
  readonly body: Buffer
  readonly trailers: FieldList
  /** 1xx before it. */
  readonly interim: readonly Interim[]
}

/** A client of one connection. */
export interface CallClient {
  readonly version: 1 | 2
  call(call: Call): Promise<Answer>
  close(): Promise<void>
}

/** Of Node's raw lists; names of pseudo-header fields stay away. */
export function fieldList(raw: readonly (string | undefined)[]): FieldList {
  const fields: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase()
    if (!name.startsWith(':')) fields.push([name, raw[at + 1] ?? ''])
  }
  return fields
}

/** All values of a field, in order. */
export function valuesOf(fields: FieldList, name: string): string[] {
  return fields.filter(([each]) => each === name).map(([, value]) => value)
}

/** The code of a problem answer, or what there is instead of one. */
export function problemOf({ fields, body }: Answer): string {
  const text = body.toString()
  const [type] = valuesOf(fields, 'content-type')
  const code = /^\{"type":"about:amt\/([a-z0-9_]+)"/.exec(text)?.[1]
  return type === 'application/problem+json' && code !== undefined ? code : `${type}: ${text}`
}

export async function wholeBody(stream: AsyncIterable<unknown> | IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
