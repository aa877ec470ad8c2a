/** Disks of a test's own, where mounting is allowed. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { runCommand } from '../program.ts'

/** For the `skip` of a test: why nothing can be mounted here, or false. */
export async function skipWithoutMounts(): Promise<string | false> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-mount-'))
  const mounted = await runCommand(['mount', ['-t', 'tmpfs', 'none', folder]]).catch(
    (error: unknown) => ({ code: 1, stderr: String(error) }),
  )
  if (mounted.code === 0) await runCommand(['umount', [folder]])
  rmSync(folder, { recursive: true })
  return mounted.code === 0
    ? false
    : `NOT TESTED: nothing can be mounted here, which needs root: ${mounted.stderr.trim()}`
}

/** A disk of `bytes` at `folder`, which is made; gone with the test. */
export async function mountDisk(t: Test, folder: string, bytes: number): Promise<void> {
  mkdirSync(folder)
  await command('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'none', folder)
  // Lazily: a process may still be ending.
  t.teardown(async () => command('umount', '--lazy', folder))
}

/** Takes all room of the disk of `folder`; returns how to give it back. */
export function fillDisk(folder: string): () => void {
  const ballast = join(folder, 'ballast')
  for (const size of [1024 * 1024, 64 * 1024, 4 * 1024, 1]) {
    while (fits(ballast, size)) {
      // And another one.
    }
  }
  return () => rmSync(ballast)
}

function fits(ballast: string, size: number): boolean {
  try {
    appendFileSync(ballast, Buffer.alloc(size))
    return true
  } catch {
    return false
  }
}

/** Makes the disk of `folder` read-only, or writable again; nothing may be open for writing there. */
export async function remount(folder: string, how: 'ro' | 'rw'): Promise<void> {
  await command('mount', '-o', `remount,${how}`, folder)
}

async function command(name: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand([name, args])
  if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr}`)
}
