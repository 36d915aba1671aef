// Prints the bill of materials of the program: its crates', with those of the engine that it carries and the
// C libraries that no crate stands for.
//
//   node scripts/merge-sboms.mjs WORKSPACE PROGRAM ENGINE LIBSECCOMP-VERSION [PATCHED-CRATE...]

import { readFileSync } from 'node:fs';

const [workspace, programFile, engineFile, seccompVersion, ...patched] =
  process.argv.slice(2);

// The directory that it was made in says nothing about the program.
function read(file) {
  return JSON.parse(
    readFileSync(file, 'utf8').replaceAll(`file://${workspace}/`, 'file:///'),
  );
}

const program = read(programFile);
const engine = read(engineFile);
const libraries = [
  {
    type: 'library',
    'bom-ref': 'libseccomp',
    name: 'libseccomp',
    version: seccompVersion,
    licenses: [{ expression: 'LGPL-2.1-only' }],
    purl: `pkg:deb/debian/libseccomp@${encodeURIComponent(seccompVersion)}?arch=source`,
  },
  {
    type: 'library',
    'bom-ref': 'musl',
    name: 'musl',
    licenses: [{ expression: 'MIT' }],
    purl: 'pkg:generic/musl',
  },
];
const root = program.metadata.component['bom-ref'];
const engineRoot = engine.metadata.component['bom-ref'];

const components = new Map();
for (const component of [
  ...program.components,
  engine.metadata.component,
  ...engine.components,
  ...libraries,
]) {
  if (!components.has(component['bom-ref']))
    components.set(component['bom-ref'], component);
}
for (const component of components.values()) {
  if (patched.includes(component.name)) {
    component.pedigree = {
      patches: [
        {
          type: 'unofficial',
          diff: { url: `patches/${component.name}.patch` },
        },
      ],
    };
  }
}

// The two may need different crates of one crate that they share.
const dependencies = new Map();
for (const { ref, dependsOn = [] } of [
  ...program.dependencies,
  ...engine.dependencies,
]) {
  dependencies.set(
    ref,
    new Set([...(dependencies.get(ref) ?? []), ...dependsOn]),
  );
}
for (const ref of [
  engineRoot,
  ...libraries.map((library) => library['bom-ref']),
])
  dependencies.get(root).add(ref);

const byReference = (one, other) => (one < other ? -1 : 1);
program.components = [...components.values()].sort((one, other) =>
  byReference(one['bom-ref'], other['bom-ref']),
);
program.dependencies = [...dependencies.keys()]
  .sort(byReference)
  .map((ref) => ({
    ref,
    dependsOn: [...dependencies.get(ref)].sort(byReference),
  }));
console.log(JSON.stringify(program, null, 2));
