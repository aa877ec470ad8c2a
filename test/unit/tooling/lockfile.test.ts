/**
 * `npm ci` refuses a lockfile that misses a package, also one for another platform. npm leaves such packages out when
 * the registry that it was asked does not have them, and says nothing; the next fresh clone then cannot be installed.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly resolved?: string
}

const ROOT = join(import.meta.dirname, '../../..')
const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, LockedPackage>> }

await test('the lockfile holds every package that another one asks for', async t => {
  t.ok(Object.keys(packages).length > 100)
  const missing = Object.entries(packages).flatMap(
    ([path, { dependencies, devDependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
        .filter(name => !isLocked(path, name))
        .map(name => `${name}, for ${path || 'the project'}`),
  )
  t.same(missing, [])
})

await test('the lockfile names no registry, so that any can be used', async t => {
  t.notMatch(text, /"resolved": "https?:/)
})

/** As Node looks for it: in the folder of the package, then in each one above. */
function isLocked(path: string, name: string): boolean {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    if (Object.hasOwn(packages, `${at === '' ? '' : `${at}/`}node_modules/${name}`)) return true
    if (at === '') return false
  }
}
