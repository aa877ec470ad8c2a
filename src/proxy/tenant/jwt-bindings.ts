import {
  type ClaimPath,
  claimAt,
  claimPathKey,
  claimPathOf,
  textsOf,
} from '../../core/claim-path.ts'
import type { Tenant } from './tenant.ts'

/** A verified token's payload. */
export type Claims = Readonly<Record<string, unknown>>

/** A token whose claims hold more combinations of values than this is nobody's: each would have to be looked up. */
const MAX_COMBINATIONS = 1_024

/** All bindings of one issuer that name the same claims: their values lead to the tenant. */
interface Shape {
  /** Equal for two shapes of the same claims. */
  readonly key: string
  readonly paths: readonly ClaimPath[]
  readonly tenants: Map<string, Tenant>
}

/**
 * Which tenant a token belongs to by its claims, for the tenants whose `credentials` say so. Filled while a directory
 * is compiled, then only read.
 */
export class JwtBindings {
  readonly #shapes = new Map<string, Shape[]>()

  /** Returns the tenant that has claimed just this already, if it is another one; then nothing is added. */
  add(
    tenant: Tenant,
    issuer: string,
    claims: Readonly<Record<string, string>>,
  ): Tenant | undefined {
    const parts = Object.entries(claims).map(([name, value]) => ({
      path: claimPathOf(name),
      value,
    }))
    parts.sort((a, b) => (claimPathKey(a.path) < claimPathKey(b.path) ? -1 : 1))
    const shape = this.#shape(
      issuer,
      parts.map(({ path }) => path),
    )
    const key = JSON.stringify(parts.map(({ value }) => value))
    const owner = shape.tenants.get(key)
    if (owner !== undefined && owner !== tenant) return owner
    shape.tenants.set(key, tenant)
    return undefined
  }

  /**
   * The binding with most claims wins; an empty one takes every token of its issuer. Two tenants at the same number of
   * claims are `'ambiguous'`: the caller must not guess.
   */
  find(issuer: string, claims: Claims): Tenant | 'ambiguous' | undefined {
    const shapes = this.#shapes.get(issuer)
    if (shapes === undefined) return undefined
    let found: Tenant | undefined
    let depth = -1
    for (const { paths, tenants } of shapes) {
      if (paths.length < depth) break
      const keys = valueKeys(paths, claims)
      if (keys === undefined) return 'ambiguous'
      for (const key of keys) {
        const tenant = tenants.get(key)
        if (tenant === undefined) continue
        if (found !== undefined && found !== tenant) return 'ambiguous'
        found = tenant
        depth = paths.length
      }
    }
    return found
  }

  #shape(issuer: string, paths: readonly ClaimPath[]): Shape {
    let shapes = this.#shapes.get(issuer)
    if (shapes === undefined) {
      shapes = []
      this.#shapes.set(issuer, shapes)
    }
    const key = JSON.stringify(paths)
    const same = shapes.find(shape => shape.key === key)
    if (same !== undefined) return same
    const shape = { key, paths, tenants: new Map<string, Tenant>() }
    shapes.push(shape)
    shapes.sort((a, b) => b.paths.length - a.paths.length)
    return shape
  }
}

/**
 * What the values of a token's claims are known by, one key for each choice of a value where claims are arrays; none where
 * a claim is missing or no text. `undefined`: too many.
 */
function valueKeys(paths: readonly ClaimPath[], claims: Claims): readonly string[] | undefined {
  let choices: readonly (readonly string[])[] = [[]]
  for (const path of paths) {
    const texts = textsOf(claimAt(claims, path))
    if (choices.length * texts.length > MAX_COMBINATIONS) return undefined
    choices = choices.flatMap(choice => texts.map(text => [...choice, text]))
  }
  return choices.map(choice => JSON.stringify(choice))
}
