/** Which claims of a token lead to its tenant, for the tenants whose `credentials` say so. */
import {
  type ClaimPath,
  claimAt,
  claimPathKey,
  claimPathOf,
  textsOf,
} from '../../core/claim-path.ts'

/** A verified token's payload. */
export type Claims = Readonly<Record<string, unknown>>

/** A token whose claims hold more combinations of values than this is nobody's: each would have to be looked up. */
const MAX_COMBINATIONS = 1_024

/** The bindings of one issuer that name the same claims. */
export interface BindingShape {
  /** Equal for two shapes of the same claims. */
  readonly key: string
  readonly paths: readonly ClaimPath[]
  /** How many there are. */
  readonly count: number
}

/** What a tenant binds: tokens of `issuer` with certain values. */
export interface Binding {
  readonly issuer: string
  readonly shape: Omit<BindingShape, 'count'>
  /** Equal for two bindings that take the same tokens. */
  readonly key: string
}

export function bindingOf(issuer: string, claims: Readonly<Record<string, string>>): Binding {
  const parts = Object.entries(claims).map(([name, value]) => ({ path: claimPathOf(name), value }))
  parts.sort((a, b) => (claimPathKey(a.path) < claimPathKey(b.path) ? -1 : 1))
  const paths = parts.map(({ path }) => path)
  const shape = { key: JSON.stringify(paths), paths }
  return {
    issuer,
    shape,
    key: bindingKey(
      issuer,
      shape,
      parts.map(({ value }) => value),
    ),
  }
}

/** `shapes`, those with most claims first, with one binding of `shape` more. */
export function withShape(
  shapes: readonly BindingShape[],
  shape: Binding['shape'],
): readonly BindingShape[] {
  const known = shapes.find(({ key }) => key === shape.key)
  const others = shapes.filter(each => each !== known)
  const { key, paths } = shape
  return [...others, { key, paths, count: (known?.count ?? 0) + 1 }].toSorted(
    (a, b) => b.paths.length - a.paths.length,
  )
}

/** `shapes` with one binding of `shape` less; undefined where that was the last one of all. */
export function withoutShape(
  shapes: readonly BindingShape[],
  shape: Binding['shape'],
): readonly BindingShape[] | undefined {
  const left = shapes
    .map(each => (each.key === shape.key ? { ...each, count: each.count - 1 } : each))
    .filter(({ count }) => count > 0)
  return left.length === 0 ? undefined : left
}

/**
 * Whose token it is by its claims; `ownerOf` knows the owners of bindings by their keys. The binding with most claims wins; an
 * empty one takes every token of its issuer. Two owners at the same number of claims are `'ambiguous'`: the caller must not
 * guess.
 */
export function boundOwner<T>(
  { issuer, claims }: { issuer: string; claims: Claims },
  shapes: readonly BindingShape[],
  ownerOf: (key: string) => T | undefined,
): T | 'ambiguous' | undefined {
  let found: T | undefined
  let depth = -1
  for (const shape of shapes) {
    if (shape.paths.length < depth) break
    const choices = choicesOf(shape.paths, claims)
    if (choices === undefined) return 'ambiguous'
    for (const values of choices) {
      const owner = ownerOf(bindingKey(issuer, shape, values))
      if (owner === undefined) continue
      if (found !== undefined && found !== owner) return 'ambiguous'
      found = owner
      depth = shape.paths.length
    }
  }
  return found
}

function bindingKey(
  issuer: string,
  { key }: Pick<BindingShape, 'key'>,
  values: readonly string[],
): string {
  return JSON.stringify([issuer, key, values])
}

/** Each choice of a value where claims are arrays; none where a claim is missing or no text. `undefined`: too many. */
function choicesOf(
  paths: readonly ClaimPath[],
  claims: Claims,
): readonly (readonly string[])[] | undefined {
  let choices: readonly (readonly string[])[] = [[]]
  for (const path of paths) {
    const texts = textsOf(claimAt(claims, path))
    if (choices.length * texts.length > MAX_COMBINATIONS) return undefined
    choices = choices.flatMap(choice => texts.map(text => [...choice, text]))
  }
  return choices
}
