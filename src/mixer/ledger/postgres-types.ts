/** How values come from PostgreSQL: as SQLite gives them, so that statements have one meaning. */
import type { CustomTypesConfig } from 'pg'
import { types } from 'pg'

const { builtins } = types

const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<
  number,
  (text: string) => unknown
>([
  [builtins.INT8, BigInt],
  [builtins.INT4, BigInt],
  [builtins.INT2, BigInt],
  // What sum() makes of BIGINT; one with a fraction stays the text that it is.
  [builtins.NUMERIC, text => (/^-?\d+$/.test(text) ? BigInt(text) : text)],
  [builtins.BOOL, text => (text === 't' ? 1n : 0n)],
])

/** `getTypeParser` of a connection. */
export const typeParser: CustomTypesConfig['getTypeParser'] = (oid, format) => {
  const parser = format === 'binary' ? undefined : PARSERS.get(oid)
  return parser ?? types.getTypeParser(oid, format)
}
