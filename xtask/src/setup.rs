//! Put libtorch 2.11.0 into the user's cache once and link it as `.libtorch`, where the build looks for it.

use crate::{
    compiler,
    libtorch::{self, State, VERSION, folder},
    wheels::{self, Wheel},
    workspace,
};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use srm_files::hex;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Options of `cargo xtask setup`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Also fetch the CUDA 13 libraries (2 GB more) into a second folder of the cache, where srm finds them at run time
    #[arg(long)]
    cuda: bool,
    /// Use a libtorch 2.11.0 that you have: its folder (with lib/ and include/) or its zip
    #[arg(long, value_name = "DIR|ZIP", conflicts_with = "cuda")]
    from: Option<PathBuf>,
    /// Read every file of the cache again and compare its checksum, not only sizes and times
    #[arg(long)]
    verify: bool,
}

/// Run the set-up as the user typed it.
pub fn run(args: Args) -> Result<()> {
    if let Some(path) = libtorch::of_user() {
        eprintln!("note: LIBTORCH={} is set in the environment and wins over .libtorch", path.display());
    }
    let cache = workspace::cache()?;
    let _lock = libtorch::lock(&cache)?;
    if let Some(path) = &args.from {
        let folder = adopt(path, &cache)?;
        libtorch::link(&folder)?;
        println!("libtorch {VERSION} from {} is set up: .libtorch -> {}", path.display(), folder.display());
        println!("{}", lines_to_paste(&folder));
        return Ok(());
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the set-up downloads libtorch for Linux on x86-64 only; on another system unpack libtorch {VERSION} and give it with --from DIR|ZIP"
    );
    let wheels = cache.join("wheels");
    let cpu = cache.join(format!("libtorch-{VERSION}-cpu"));
    install("CPU", &cpu, &wheels, &wheels::CPU.iter().collect::<Vec<_>>(), &place_cpu, args.verify)?;
    libtorch::link(&cpu)?;
    if args.cuda {
        let cuda = cache.join(format!("libtorch-{VERSION}-cuda"));
        install(
            "CUDA",
            &cuda,
            &wheels,
            &wheels::CPU.iter().chain(wheels::CUDA).collect::<Vec<_>>(),
            &place_cuda,
            args.verify,
        )?;
        println!("{}", shim(&cpu, &cuda));
    }
    println!("{}", lines_to_paste(&cpu));
    workspace::remove_folder(&wheels)
}

/// What a cargo project of the user's own needs to build on srm's crates, with the places filled in.
fn lines_to_paste(libtorch: &Path) -> String {
    let crates = workspace::root().join("crates");
    let (profile, manifest) = ("[profile.", include_str!("../../crates/srm/tests/outside/manifest.toml"));
    let profile = &manifest[manifest.find(profile).unwrap_or(manifest.len())..];
    format!(
        "a cargo project of your own builds on srm with these lines (`cargo doc -p srm --open` says more):\n\n\
         # .cargo/config.toml\n[env]\nLIBTORCH = {libtorch:?}\n\n\
         # Cargo.toml\n[dependencies]\nsrm = {{ path = {:?} }}\n[build-dependencies]\nsrm-build = {{ path = {:?} }}\n{profile}\n\
         // build.rs\nfn main() {{\n    srm_build::rpath();\n}}",
        crates.join("srm"),
        crates.join("srm-build")
    )
}

/// Run the default set-up unless a libtorch is there; other tasks call this first.
pub fn ensure_done() -> Result<()> {
    if let Some(path) = libtorch::of_user() {
        libtorch::usable(&path).context("LIBTORCH is set in the environment; unset it to use srm's own")?;
    } else if !link_is_good()? {
        run(Args::default())?;
    }
    for setting in folder::misleading(&libtorch::in_use(), |name| env::var_os(name)) {
        eprintln!("note: {setting} is left out: srm is built on {}", libtorch::in_use().display());
    }
    for (name, usual, package) in [("CXX", "c++", "g++"), ("CC", "cc", "gcc")] {
        compiler::check(name, usual, package, |name| env::var_os(name))?;
    }
    Ok(())
}

fn link_is_good() -> Result<bool> {
    let link = libtorch::link_path();
    let Ok(folder) = fs::canonicalize(&link) else { return Ok(false) };
    if libtorch::usable(&folder).is_err() {
        return Ok(false);
    }
    let damaged = matches!(libtorch::check(&folder, false)?, State::Damaged(_));
    Ok(!damaged)
}

fn install(
    kind: &str,
    folder: &Path,
    wheels: &Path,
    needed: &[&Wheel],
    place: &dyn Fn(&str) -> Option<String>,
    verify: bool,
) -> Result<()> {
    match libtorch::check(folder, verify)? {
        State::Whole => {
            println!("libtorch {VERSION} ({kind}) is already set up: {}", folder.display());
            return Ok(());
        }
        State::Missing => {}
        State::Damaged(cause) => eprintln!("{} is damaged ({cause}): fetching it again", folder.display()),
    }
    let began = Instant::now();
    let archives = wheels::download(needed, wheels)?;
    libtorch::replace(folder, |new| {
        let mut entries = Vec::new();
        for archive in &archives {
            wheels::unpack(archive, new, place, &mut entries)?;
        }
        Ok(entries)
    })?;
    println!("libtorch {VERSION} ({kind}) is set up in {}: {}", workspace::duration(began.elapsed()), folder.display());
    Ok(())
}

/// Headers and CPU libraries of the wheels, in the layout of the official libtorch zip. libtorch_cuda must not be among
/// them: torch-sys would link it.
fn place_cpu(name: &str) -> Option<String> {
    const LIBRARIES: [&str; 6] =
        ["libc10.so", "libtorch_cpu.so", "libtorch.so", "libshm.so", "libtorch_global_deps.so", "libgomp.so.1"];
    if let Some(header) = name.strip_prefix("torch/include/") {
        return Some(format!("include/{header}"));
    }
    if let Some(library) = name.strip_prefix("torch/lib/").filter(|library| LIBRARIES.contains(library)) {
        return Some(format!("lib/{library}"));
    }
    match name {
        "nvidia/cu13/lib/libcudart.so.13" => Some("lib/libcudart.so.13".into()),
        "nvidia/cu13/lib/libcupti.so.13" => Some("lib/libcupti.so.13".into()),
        _ => licence(name),
    }
}

/// Compile crates/srm-energy/cuda/graph.cpp beside libtorch_cuda: what SRM_CUDA_TRY switches on. srm runs without it, so a compiler
/// that fails is told of and no more.
fn shim(cpu: &Path, cuda: &Path) -> String {
    let source = workspace::root().join("crates/srm-energy/cuda/graph.cpp");
    let library = cuda.join("torch/lib/libsrm_cuda.so");
    let headers = cuda.join("nvidia/cu13/include");
    let new = library.with_extension("new");
    let compiler = compiler::words("CXX", "c++", |name| env::var_os(name));
    let output = Command::new(&compiler[0])
        .args(&compiler[1..])
        .args(["-std=c++20", "-O2", "-shared", "-fPIC", "-o"])
        .args([&new, &source])
        .arg("-I")
        .arg(cpu.join("include"))
        .arg("-I")
        .arg(&headers)
        .output();
    let problem = match output {
        _ if !headers.is_dir() => {
            format!("an earlier set-up left CUDA's headers out; delete {} and run this again", cuda.display())
        }
        Err(error) => format!("{} does not run: {error}", compiler.join(" ")),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            said.lines().find(|line| line.contains("error")).unwrap_or(said.trim()).to_owned()
        }
        Ok(_) => match fs::rename(&new, &library) {
            Ok(()) => return format!("{} is there for SRM_CUDA_TRY", library.display()),
            Err(error) => format!("cannot write {}: {error}", library.display()),
        },
    };
    format!(
        "{} was not compiled: {problem}; srm runs without it, but for graph, fuse and same of SRM_CUDA_TRY",
        source.display()
    )
}

/// All shared libraries in the layout of site-packages, which the library paths `$ORIGIN/../../nvidia/*/lib` expect, and CUDA's headers.
fn place_cuda(name: &str) -> Option<String> {
    let shared = name.ends_with(".so") || name.contains(".so.");
    let wanted = (name.starts_with("torch/lib/") && name != "torch/lib/libtorch_python.so")
        || (name.starts_with("nvidia/") && name.contains("/lib/"));
    let header = name.starts_with("nvidia/cu13/include/") && (name.ends_with(".h") || name.ends_with(".hpp"));
    if shared && wanted || header { Some(name.to_owned()) } else { licence(name) }
}

fn licence(name: &str) -> Option<String> {
    let (package, file) = name.split_once(".dist-info/licenses/")?;
    Some(format!("licenses/{package}/{file}"))
}

/// Make a folder in the cache out of a libtorch that the user has: links to its files, without libtorch_cuda.
fn adopt(path: &Path, cache: &Path) -> Result<PathBuf> {
    let path = fs::canonicalize(path).with_context(|| format!("--from {} does not exist", path.display()))?;
    let key = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
    let name = |kind: &str| cache.join(format!("libtorch-{VERSION}-{kind}-{}", &key[..8]));
    let mut source = path.clone();
    if path.is_file() {
        source = name("zip");
        eprintln!("unpacking {}", path.display());
        libtorch::replace(&source, |new| {
            let mut entries = Vec::new();
            let place = |name: &str| name.strip_prefix("libtorch/").map(str::to_owned);
            wheels::unpack(&path, new, &place, &mut entries)?;
            Ok(entries)
        })?;
    }
    libtorch::usable(&source)?;
    let folder = name("from");
    libtorch::replace(&folder, |new| {
        std::os::unix::fs::symlink(source.join("include"), new.join("include"))?;
        fs::create_dir(new.join("lib"))?;
        // Of a site-packages folder libtorch_cpu needs two libraries that lie elsewhere.
        let folders = [source.join("lib"), source.join("../nvidia/cu13/lib")];
        let mut cuda = None;
        for file in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = file.file_name();
            let text = name.to_string_lossy();
            if text.contains("libtorch_cuda") || text.contains("libtorch_python") {
                cuda = (text == "libtorch_cuda.so").then(|| file.path()).or(cuda);
                continue;
            }
            let link = new.join("lib").join(&name);
            let system_like = text.starts_with("libcudart.so") || text.starts_with("libcupti.so");
            if !link.exists() && (file.path().starts_with(&folders[0]) || system_like) {
                std::os::unix::fs::symlink(file.path(), link)?;
            }
        }
        if let Some(library) = cuda {
            eprintln!(
                "it has CUDA libraries, which srm opens at run time: set SRM_LIBTORCH_CUDA={}",
                library.display()
            );
        }
        Ok(Vec::new())
    })?;
    if !folder.join("lib/libtorch_cpu.so").exists() {
        bail!("{} could not be linked from {}", folder.display(), source.display());
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_folder_never_gets_libtorch_cuda() {
        assert_eq!(place_cpu("torch/lib/libtorch_cpu.so").as_deref(), Some("lib/libtorch_cpu.so"));
        assert_eq!(place_cpu("torch/include/ATen/ATen.h").as_deref(), Some("include/ATen/ATen.h"));
        assert_eq!(place_cpu("nvidia/cu13/lib/libcudart.so.13").as_deref(), Some("lib/libcudart.so.13"));
        for name in [
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libc10_cuda.so",
            "torch/nn/modules/conv.py",
            "nvidia/cu13/lib/libcheckpoint.so",
        ] {
            assert_eq!(place_cpu(name), None);
        }
    }

    #[test]
    fn the_cuda_folder_keeps_the_layout_of_site_packages() {
        for name in [
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libtorch_cpu.so",
            "nvidia/cudnn/lib/libcudnn.so.9",
            "nvidia/cu13/lib/libcublas.so.13",
            "nvidia/cu13/include/cuda_runtime_api.h",
            "nvidia/cu13/include/crt/host_defines.h",
            "nvidia/cu13/include/vector_functions.hpp",
        ] {
            assert_eq!(place_cuda(name).as_deref(), Some(name));
        }
        for name in [
            "torch/lib/libtorch_python.so",
            "nvidia/cu13/lib/libcudart_static.a",
            "nvidia/cu13/bin/ptxas",
            "torch/__init__.py",
        ] {
            assert_eq!(place_cuda(name), None);
        }
        assert_eq!(
            place_cuda("torch-2.11.0.dist-info/licenses/LICENSE").as_deref(),
            Some("licenses/torch-2.11.0/LICENSE")
        );
    }

    #[test]
    fn a_libtorch_of_the_user_is_linked_without_its_cuda_part() {
        let (user, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let torch = user.path().join("site-packages/torch");
        for name in [
            "lib/libtorch_cpu.so",
            "lib/libtorch_cuda.so",
            "lib/libtorch.so",
            "lib/libc10.so",
            "include/torch/csrc/autograd/engine.h",
            "../nvidia/cu13/lib/libcudart.so.13",
        ] {
            fs::create_dir_all(torch.join(name).parent().unwrap()).unwrap();
            fs::write(torch.join(name), name).unwrap();
        }
        fs::write(torch.join("build-version"), "2.11.0+cu130").unwrap();
        let folder = adopt(&torch, cache.path()).unwrap();
        libtorch::usable(&folder).unwrap();
        assert!(folder.join("lib/libcudart.so.13").exists() && !folder.join("lib/libtorch_cuda.so").exists());
        fs::write(torch.join("build-version"), "2.5.1").unwrap();
        assert!(adopt(&torch, cache.path()).unwrap_err().to_string().contains("is libtorch 2.5.1"));
        assert!(adopt(&torch.join("nowhere"), cache.path()).unwrap_err().to_string().contains("does not exist"));
    }
}
