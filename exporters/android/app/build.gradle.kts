plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

// The model and its golden vectors lie beside this project; they travel in the app as assets.
val assets = layout.buildDirectory.dir("kit-assets")
val copyModel by tasks.registering(Copy::class) {
    from(rootDir) { include("model.onnx", "goldens/**") }
    into(assets)
}
tasks.named("preBuild") { dependsOn(copyModel) }

android {
    namespace = "mtledge.app"
    compileSdk = 35
    defaultConfig {
        applicationId = "mtledge.app"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }
    sourceSets.getByName("main").assets.srcDir(assets)
    androidResources { noCompress += "onnx" }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    implementation(project(":mtl_edge"))
    implementation("androidx.activity:activity-ktx:1.9.3")
    androidTestImplementation("androidx.test:runner:1.6.2")
    androidTestImplementation("androidx.test.ext:junit:1.2.1")
}
